"""The demonstration: users sign up, and each has a folder."""

from processors.folder import folder
from processors.user import user
from streams import App


def app() -> App:
    """The one list of what the application is made of."""
    return App(name="retold-demo", namespaces=[user, folder])
