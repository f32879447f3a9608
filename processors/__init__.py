"""The demonstration: users sign up; each gets a mail and a folder."""

from processors.email import email
from processors.events import EmailBounced, EmailSend, EmailSent
from processors.folder import folder
from processors.settings import Settings, settings
from processors.user import users
from streams import App, Gateway


def app(own: Settings | None = None) -> App:
    """The one list of what the application is made of."""
    own = own or settings()
    return App(
        name="retold-demo",
        namespaces=[users(reminders=own.reminders), folder, email],
        gateways=[Gateway(EmailSend, own.mailer.send, answers=[EmailSent, EmailBounced])],
    )
