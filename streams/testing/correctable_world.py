"""The part of a World that corrects its past."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.testing.world_contents import WorldContents

if TYPE_CHECKING:
    from streams.history.correction.correction_calls import CorrectionCall
    from streams.history.correction.correction_plan import CorrectionPlan
    from streams.history.history import History
    from streams.testing.world_corrections import MemoryCorrections


class CorrectableWorld(WorldContents):
    """What has to do with the past is imported when it is asked for: most tests ask nothing of it, and start sooner."""

    _made: MemoryCorrections | None = None

    def history(self) -> History:
        """What has been handled so far, as a recorded past: `world.history().what_if(remove=["place-1"])`.

        What is handled afterwards is not in it. Name events by the ids that `when` gave them, or find them in `events()`. If the
        past was corrected, it is as the corrections have made it.
        """
        from streams.testing.world_history import history_of

        return history_of(self.app, self._run.spaces.values(), self._corrections.so_far)

    def apply(self, plan: CorrectionPlan, calls: str = "ask") -> int:
        """Correct the past: set each row to what it would be, until nothing differs. What waits in inboxes is handled, too.

        `world.apply(world.history().correct(remove=["t7"], by="ann", why="it was a test"))`. Gateways are not called for it: the
        plan says what they should not have been asked. Projections are folded anew.

        Args:
            plan: What `History.correct` returned.
            calls: What to do about gateways' calls that are wrong by now: `ask` leaves them to a person, `undo` publishes what each
                gateway says takes its call back (`undone_by`), `skip` passes them over. `open_calls` has those that are left.

        Returns:
            How many rows were set; 0 if nothing differs, as when a plan is applied again.

        Raises:
            StalePlan: The plan was edited, or is of another World's past.
            HistoryError: What follows cannot be corrected.

        """
        return self._corrections.apply(plan, calls)

    def open_calls(self) -> list[CorrectionCall]:
        """Calls of gateways that corrections have made wrong, and that a person must see to."""
        return [] if self._made is None else [it for it in self._made.calls.values() if it.state == "open"]

    @property
    def _corrections(self) -> MemoryCorrections:
        from streams.testing.world_corrections import MemoryCorrections

        if self._made is None:
            self._made = MemoryCorrections(self._run)
        return self._made
