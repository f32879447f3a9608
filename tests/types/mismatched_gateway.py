"""A gateway whose call takes another event than it is bound to."""

from __future__ import annotations

from streams import Gateway
from tests.applications.shop import CardApi
from tests.applications.shop.events import PaymentCharge, PaymentRefunded

Gateway(PaymentCharge, CardApi().refund, answers=[PaymentRefunded])  # wrong: arg-type
