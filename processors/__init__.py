"""The demonstration: users sign up; each gets a mail and a folder."""

from processors import quiet
from processors.email import email
from processors.events import EmailBounced, EmailSend, EmailSent
from processors.folder import folder
from processors.settings import Settings, settings
from processors.user import user
from streams import App, Gateway


def app(own: Settings | None = None) -> App:
    """The one list of what the application is made of. Without `own` the environment decides."""
    own = own or settings()
    return App(
        name="retold-demo",
        namespaces=[user if own.reminders else quiet.user, folder, email],
        gateways=[Gateway(EmailSend, own.mailer.send, answers=[EmailSent, EmailBounced])],
    )
