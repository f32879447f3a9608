"""The kinds of problems that have a page of their own: `/-/problems/NAME`, which is also the `type` of such an answer."""

from __future__ import annotations

from typing import Final, NamedTuple

PROBLEMS: Final = "/-/problems/"


class ProblemType(NamedTuple):
    """`status` of the answer; `title`, what went wrong; `what`, when that is; `do`, what helps."""

    name: str
    status: int
    title: str
    what: str
    do: str

    @property
    def url(self) -> str:
        return f"{PROBLEMS}{self.name}"


PROBLEM_TYPES: Final = (
    ProblemType(
        "unknown-field", 422, "No such field or parameter",
        "A filter, `_sort`, `_select` or `_facet` names a field that the rows do not have, or a parameter that there is not.",
        "Use one of the names that the answer lists; it says which one is near.",
    ),
    ProblemType(
        "wrong-value", 422, "A value of another type",
        "A filter has a value that no row can have in that field, or a parameter has a value that it does not take.",
        "Send what the answer says was expected. In an address, `+` is written `%2B`.",
    ),
    ProblemType(
        "wrong-operator", 422, "An operator that the field does not have",
        "A filter has an operator for another type of field, or compares a list, a map or a part as a whole.",
        "Use one of the operators that the answer names, or a field inside the part (`address.city`).",
    ),
    ProblemType(
        "not-sortable", 422, "An order or a facet that there is not",
        "`_sort` or `_facet` names a field of more than one value, a field twice, or too many fields.",
        "Sort and count by fields of one value; at most three in an order, beside the key.",
    ),
    ProblemType(
        "wrong-cursor", 422, "A cursor of another question",
        "`_next` was changed, or is of another table, other filters or another order.",
        "Send the `next` of an answer with the filters and the `_sort` of that answer; or begin anew, without `_next`.",
    ),
    ProblemType(
        "given-twice", 422, "A parameter given twice",
        "The same field and operator, or the same parameter, is in the address twice.",
        "Give each once. For one of several values use `in`: `status__in=paid,reserving`.",
    ),
    ProblemType(
        "too-many-filters", 422, "Too many filters",
        "The address has more than twenty filters.",
        "Ask for less at once, or write a view.",
    ),
    ProblemType(
        "query-too-slow", 503, "A query that took too long",
        "Looking for the rows took longer than the setting `query_seconds`, since no index leads to them, or they are too many.",
        "Declare the index that the answer names, or ask for less. The same query would take as long again.",
    ),
    ProblemType(
        "view-too-slow", 503, "A view that took too long",
        "A view has not answered within the setting `view_seconds`, and was ended; or for so long eight went on, and none ended.",
        "Have the view compute less, or fold a projection. Where there is a `Retry-After`, ask again.",
    ),
    ProblemType(
        "past-too-slow", 503, "A question about the past that took too long",
        "What was, or would have been, was not told within the setting `past_seconds`, and was ended; or for so long as many such "
        "questions went on as there may be, and none ended.",
        "Ask for less, or with `retold get`, `story` or `what-if`, which nothing ends. Where there is a `Retry-After`, ask again.",
    ),
    ProblemType(
        "rows-not-built", 503, "Rows of a generation that is not built",
        "The code of the server has a generation of rows of which workers keep another one, and nobody has built it to the end of "
        "the log.",
        "Build the rows as the answer says, and deploy workers of that code; or deploy the server's code before. Then ask again.",
    ),
    ProblemType(
        "answer-lost", 500, "The process that answered has ended",
        "The application's own code ran in a process of the server's, which ended before it had answered: by a call such as "
        "`os._exit`, by a fault of a library (SIGSEGV), or by the system, for want of memory (SIGKILL).",
        "See the server's log for what the answer names. The server goes on; the same question may end the same way.",
    ),
    ProblemType(
        "invalid-lines", 422, "Lines of a batch that may not be published",
        "Lines of a batch are no events that the application handles; `errors` has the line, the field and a sentence for each.",
        "Correct them and send the batch again: nothing of it was published. Or add `_bad=skip`, which publishes the rest.",
    ),
    ProblemType(
        "not-reached", 503, "A position that is not reached in time",
        "This server had not read up to `_min_position` after 5 s, or is stopping.",
        "Ask again. If the answer says that the log ends before it, the position is of another cluster or log: leave it out.",
    ),
    ProblemType(
        "other-log", 422, "A place in another log",
        "`Last-Event-ID` is beyond the end of the log, which was made again or is of another cluster.",
        "Connect without it: from now on, or with `_from=beginning` from the first event on.",
    ),
    ProblemType(
        "too-many-requests", 429, "Too many requests or streams",
        "The principal sends more requests a second, or has more streams open, than one may.",
        "Wait as many seconds as `Retry-After` says. Publish many events in one request, and watch in one stream.",
    ),
    ProblemType(
        "missing-right", 403, "A right that this token does not have",
        "The principal whose token was shown may not do this. `right` names what is missing.",
        "Ask whoever keeps the tokens of the server for that right, or use another token.",
    ),
    ProblemType(
        "plan-moved", 412, "A plan that is not the one that was seen",
        "What a correction would change is otherwise by now: rows have moved, or events were handled that it reaches.",
        "Look at the correction again, and apply it with the ETag that it has then.",
    ),
    ProblemType(
        "address-too-long", 414, "An address that is too long",
        "Path and parameters of the request have more than 8 KiB.",
        "Ask with fewer or shorter filters, or in several requests.",
    ),
)  # fmt: skip
BY_NAME: Final = {it.name: it for it in PROBLEM_TYPES}
