"""Problems of the API as errors of gRPC: a code, the sentence, and details in the form that clients of all languages know."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, takewhile
from typing import Any, Final, NoReturn

import grpc
import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from starlette.datastructures import Headers

from streams.server.http.problem_types import PROBLEMS
from streams.server.http.problems import Problem
from streams.server.http.socket_requests import InnerResponse
from streams.server.rpc.retold_pb2 import Failure

CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    406: grpc.StatusCode.INVALID_ARGUMENT,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    410: grpc.StatusCode.OUT_OF_RANGE,
    412: grpc.StatusCode.ABORTED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    414: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""By status of HTTP. Of any other, the request is wrong, or the server."""
DETAILS: Final = "grpc-status-details-bin"
DOMAIN: Final = "retold"
LONGEST: Final = 2_000
"""Bytes of a sentence on its way."""
MOST_BYTES: Final = 7_500
"""Of an error on its way: clients take 8 KiB of metadata. One that has more they tell as another error, RESOURCE_EXHAUSTED."""
Context = grpc.aio.ServicerContext[Any, Any]


def refusal(problem: Problem) -> InnerResponse:
    """As if the API had answered with this."""
    return InnerResponse(problem.status, msgspec.json.encode(problem.body("")), {}, Headers(problem.headers))


def body_of(answer: InnerResponse) -> Mapping[str, Any]:
    found = msgspec.json.decode(answer.body)
    return found if isinstance(found, dict) else {}


def code_of(status: int) -> grpc.StatusCode:
    return CODES.get(status, grpc.StatusCode.INVALID_ARGUMENT if 400 <= status < 500 else grpc.StatusCode.INTERNAL)


def failure_of(answer: InnerResponse) -> Failure:
    body, code = body_of(answer), code_of(answer.status).value[0]
    return Failure(code=code, message=str(body.get("detail", "")), type=_type(body), field=_field(body))


async def abort(context: Context, answer: InnerResponse, *details: Message) -> NoReturn:
    """Ends the call with the error that an answer of the API is. A detail for which there is no room is left out."""
    failure, code = failure_of(answer), code_of(answer.status)
    sentence = fitting(failure.message)
    status = Status(code=failure.code, message=sentence, details=map(_packed, [_info(answer, failure), *_retry(answer)]))
    room = (MOST_BYTES - sum(map(_bytes_of, sentence))) * 3 // 4  # it is sent in base64
    for detail in map(_packed, details):
        if status.ByteSize() + detail.ByteSize() <= room:
            status.details.append(detail)
    await context.abort(code, sentence, ((DETAILS, status.SerializeToString()),))


def fitting(sentence: str) -> str:
    """As much of it as has `LONGEST` bytes on its way."""
    sizes = accumulate(map(_bytes_of, sentence))
    return sentence[: sum(1 for _ in takewhile(lambda size: size <= LONGEST, sizes))]


def _bytes_of(letter: str) -> int:
    """On its way: gRPC writes each byte that is no plain ASCII as three."""
    return 1 if " " <= letter <= "~" and letter != "%" else 3 * len(letter.encode())


def _info(answer: InnerResponse, failure: Failure) -> ErrorInfo:
    reason = failure.type.removeprefix(PROBLEMS).replace("-", "_").upper() if failure.type.startswith(PROBLEMS) else ""
    told = {"status": str(answer.status), "type": failure.type, "field": failure.field[:100]}
    return ErrorInfo(reason=reason, domain=DOMAIN, metadata={name: value for name, value in told.items() if value})


def _retry(answer: InnerResponse) -> list[RetryInfo]:
    seconds = answer.headers.get("retry-after", "")
    return [RetryInfo(retry_delay=Duration(seconds=int(seconds)))] if seconds.isdigit() else []


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _type(body: Mapping[str, Any]) -> str:
    found = str(body.get("type", ""))
    return found if found.startswith(PROBLEMS) else ""


def _field(body: Mapping[str, Any]) -> str:
    errors = body.get("errors")
    return str(errors[0].get("field", "")) if isinstance(errors, list) and errors else ""
