"""Problems of the API as errors of gRPC: a code, the sentence, and details in the form that clients of all languages know."""

from __future__ import annotations

from collections.abc import Mapping
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
"""By status of HTTP."""
DETAILS: Final = "grpc-status-details-bin"
DOMAIN: Final = "retold"
LONGEST: Final = 2_000
"""Characters of a sentence: clients take 8 KiB of metadata."""
MOST_BYTES: Final = 3_000
"""Of a detail beyond the first ones; a larger one is left out."""
Context = grpc.aio.ServicerContext[Any, Any]


def refusal(problem: Problem) -> InnerResponse:
    """As if the API had answered with this."""
    return InnerResponse(problem.status, msgspec.json.encode(problem.body("")), {}, Headers(problem.headers))


def body_of(answer: InnerResponse) -> Mapping[str, Any]:
    found = msgspec.json.decode(answer.body)
    return found if isinstance(found, dict) else {}


def code_of(status: int) -> grpc.StatusCode:
    return CODES.get(status, grpc.StatusCode.UNKNOWN)


def failure_of(answer: InnerResponse) -> Failure:
    body, code = body_of(answer), code_of(answer.status).value[0]
    return Failure(code=code, message=str(body.get("detail", ""))[:LONGEST], type=_type(body), field=_field(body))


async def abort(context: Context, answer: InnerResponse, *details: Message) -> NoReturn:
    """Ends the call with the error that an answer of the API is."""
    failure, code = failure_of(answer), code_of(answer.status)
    told = [_info(answer, failure), *_retry(answer), *(it for it in details if it.ByteSize() <= MOST_BYTES)]
    status = Status(code=failure.code, message=failure.message, details=[_packed(it) for it in told])
    await context.abort(code, failure.message, ((DETAILS, status.SerializeToString()),))


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
