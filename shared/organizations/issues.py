"""What can be wrong with a tenant or a mailbox, and the codes by which Entra and Graph name it.

Only the names of issues and the shape of a remedy are here; the texts are in `remedies`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Responsible(StrEnum):
    """The party that must act."""

    ENTRA_ADMIN = "entra_admin"
    """The customer's administrator of Entra."""
    EXCHANGE_ADMIN = "exchange_admin"
    """The customer's administrator of Exchange Online."""
    USER = "user"
    PLATFORM = "platform"
    """The mentoring platform, over this API."""
    US = "us"
    """The operator of this deployment."""
    NOBODY = "nobody"
    """The issue passes by itself."""


class Issue(StrEnum):
    """A named cause of trouble. The names are stable."""

    CONSENT_MISSING = "consent_missing"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CONSENT_DECLINED = "consent_declined"
    APPROVAL_NEEDED = "approval_needed"
    APP_GONE = "app_gone"
    APP_DISABLED = "app_disabled"
    PERMISSION_MISSING = "permission_missing"
    USER_PERMISSION_MISSING = "user_permission_missing"
    NOT_ASSIGNED = "not_assigned"
    ASSIGNMENT_REQUIRED = "assignment_required"
    CONDITIONAL_ACCESS = "conditional_access"
    SIGN_IN_AGAIN = "sign_in_again"
    TENANT_UNKNOWN = "tenant_unknown"
    FOREIGN_ACCOUNT = "foreign_account"
    SECRET_WRONG = "secret_wrong"
    SECRET_EXPIRED = "secret_expired"
    CERTIFICATE_UNKNOWN = "certificate_unknown"
    FEDERATION_WRONG = "federation_wrong"
    REGISTRATION_WRONG = "registration_wrong"
    CREDENTIAL_ABSENT = "credential_absent"
    MAILBOX_NOT_HOSTED = "mailbox_not_hosted"
    MAILBOX_ON_PREMISES = "mailbox_on_premises"
    MAILBOX_UNLICENSED = "mailbox_unlicensed"
    ACCOUNT_GONE = "account_gone"
    ACCOUNT_RECREATED = "account_recreated"
    ACCOUNT_DISABLED = "account_disabled"
    GUEST = "guest"
    SHARED_MAILBOX = "shared_mailbox"
    MAILBOX_STALE = "mailbox_stale"
    FOREIGN_IDS = "foreign_ids"
    OUT_OF_SCOPE = "out_of_scope"
    ACCESS_POLICY = "access_policy"
    SUBSCRIPTIONS_REFUSED = "subscriptions_refused"
    WEBHOOK_UNREACHABLE = "webhook_unreachable"
    THROTTLED = "throttled"
    NO_ANSWER = "no_answer"
    NOT_TRIED = "not_tried"
    NEEDS_PERSON = "needs_person"
    NEEDS_MAILBOX = "needs_mailbox"
    NO_TENANT = "no_tenant"
    UNKNOWN_REFUSAL = "unknown_refusal"


@dataclass(frozen=True, slots=True)
class Remedy:
    """The texts about one issue."""

    meaning: str
    """One sentence."""
    responsible: Responsible
    remedy: str
    """The exact steps or command."""
    takes_effect: str
    """How long the remedy takes to have an effect."""
    link: str | None = None
    to_person: str = "Ask your administrator; they see the reason in the app's diagnosis."
    """The remedy in the words for a participant."""


UNCERTAIN: Final = frozenset(
    {
        Issue.THROTTLED,
        Issue.NO_ANSWER,
        Issue.MAILBOX_STALE,
        Issue.NOT_TRIED,
        Issue.NEEDS_PERSON,
        Issue.NEEDS_MAILBOX,
        Issue.ASSIGNMENT_REQUIRED,
    }
)
"""Issues that leave open whether the capability works."""

BY_AADSTS: Final[Mapping[int, Issue]] = {
    65001: Issue.CONSENT_MISSING,
    500011: Issue.CONSENT_MISSING,
    65004: Issue.CONSENT_DECLINED,
    90094: Issue.APPROVAL_NEEDED,
    90095: Issue.APPROVAL_NEEDED,
    700016: Issue.APP_GONE,
    7000112: Issue.APP_DISABLED,
    50105: Issue.NOT_ASSIGNED,
    501051: Issue.ASSIGNMENT_REQUIRED,
    53003: Issue.CONDITIONAL_ACCESS,
    50173: Issue.SIGN_IN_AGAIN,
    70043: Issue.SIGN_IN_AGAIN,
    50079: Issue.SIGN_IN_AGAIN,
    50076: Issue.SIGN_IN_AGAIN,
    50074: Issue.SIGN_IN_AGAIN,
    50158: Issue.SIGN_IN_AGAIN,
    90002: Issue.TENANT_UNKNOWN,
    50020: Issue.FOREIGN_ACCOUNT,
    50034: Issue.ACCOUNT_GONE,
    50057: Issue.ACCOUNT_DISABLED,
    7000215: Issue.SECRET_WRONG,
    7000222: Issue.SECRET_EXPIRED,
    7000218: Issue.CREDENTIAL_ABSENT,
    700027: Issue.CERTIFICATE_UNKNOWN,
    70021: Issue.FEDERATION_WRONG,
    700211: Issue.FEDERATION_WRONG,
    700212: Issue.FEDERATION_WRONG,
    700213: Issue.FEDERATION_WRONG,
    700229: Issue.FEDERATION_WRONG,
    7000114: Issue.REGISTRATION_WRONG,
    650056: Issue.REGISTRATION_WRONG,
    650057: Issue.REGISTRATION_WRONG,
}
"""Issues by Entra's error number.

Source: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
"""

BY_CODE: Final[Mapping[str, Issue]] = {
    "mailboxnotenabledforrestapi": Issue.MAILBOX_NOT_HOSTED,
    "errornonexistentmailbox": Issue.MAILBOX_NOT_HOSTED,
    "errorinvaliduser": Issue.ACCOUNT_GONE,
    "request_resourcenotfound": Issue.ACCOUNT_GONE,
    "resourcenotfound": Issue.ACCOUNT_GONE,
    "erroraccountdisabled": Issue.ACCOUNT_DISABLED,
    "mailboxinfostale": Issue.MAILBOX_STALE,
    # getSchedule's own, inside a 200
    "errormailrecipientnotfound": Issue.ACCOUNT_GONE,
    "errornofreebusyaccess": Issue.OUT_OF_SCOPE,
}
"""Issues by Graph's error code in lower case.

Source: https://learn.microsoft.com/graph/errors
"""

LOST_CONSENT: Final = frozenset(
    {
        Issue.CONSENT_MISSING,
        Issue.APPROVAL_NEEDED,
        Issue.APP_GONE,
        Issue.APP_DISABLED,
        Issue.PERMISSION_MISSING,
    }
)
"""Issues of the app's own token or the directory that show that the tenant blocks the app."""
