"""What a branch makes of the application's projections and views."""

from __future__ import annotations

from streams.history.application_handlers import ApplicationHandlers
from streams.history.branch import Branch
from streams.history.branch_projections import projection_changes
from streams.history.past import Past


def compare_projections(past: Past, branch: Branch, handlers: ApplicationHandlers, most: int | None = None) -> None:
    """Put into a branch's difference how the rows of projections differ: to fold them, most of `past` may have to be read.

    `most` is as for `projection_changes`.
    """
    waiting = {it.reference for it in branch.difference.open}
    branch.difference.projections = projection_changes(
        past, branch.past, branch.rows, handlers.app.projections, handlers.codec, waiting=waiting, most=most
    )
