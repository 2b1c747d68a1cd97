"""What can be wrong with a tenant or a mailbox, what it means, who must do what: a table.

The rules in `diagnosis` pick an issue out of what was seen; everything people read about it is
here. ``{client_id}``, ``{organization_id}``, ``{tenant_id}``, ``{object_id}``, ``{address}``,
``{code}`` and ``{portal}`` are filled in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Responsible(StrEnum):
    """Who must act."""

    ENTRA_ADMIN = "entra_admin"
    """The customer's administrator of Entra."""
    EXCHANGE_ADMIN = "exchange_admin"
    """The customer's administrator of Exchange Online."""
    USER = "user"
    PLATFORM = "platform"
    """The mentoring platform, over this API."""
    US = "us"
    """Whoever operates this deployment."""
    NOBODY = "nobody"
    """It passes by itself."""


class Issue(StrEnum):
    """What is wrong. The names are stable."""

    CONSENT_MISSING = "consent_missing"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CONSENT_DECLINED = "consent_declined"
    APPROVAL_NEEDED = "approval_needed"
    APP_GONE = "app_gone"
    APP_DISABLED = "app_disabled"
    PERMISSION_MISSING = "permission_missing"
    USER_PERMISSION_MISSING = "user_permission_missing"
    NOT_ASSIGNED = "not_assigned"
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
    ACCOUNT_DISABLED = "account_disabled"
    GUEST = "guest"
    SHARED_MAILBOX = "shared_mailbox"
    MAILBOX_STALE = "mailbox_stale"
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
    """What people are told about one issue."""

    meaning: str
    """One sentence."""
    responsible: Responsible
    remedy: str
    """The exact steps or command."""
    takes_effect: str
    """How long it takes to have an effect."""
    link: str | None = None
    to_person: str = "Ask your administrator; they see the reason in the app's diagnosis."
    """What a participant is told to do."""


_APP: Final = (
    "{portal}/{tenant_id}/#view/Microsoft_AAD_IAM/ManagedAppMenuBlade/~/{blade}/appId/{client_id}"
)
_OVERVIEW: Final = _APP.replace("{blade}", "Overview")
_PERMISSIONS: Final = _APP.replace("{blade}", "Permissions")
_ASSIGNMENTS: Final = _APP.replace("{blade}", "Users")
_PROPERTIES: Final = _APP.replace("{blade}", "Properties")
_REGISTRATION: Final = (
    "{portal}/#view/Microsoft_AAD_RegisteredApps/ApplicationMenuBlade/~/Credentials/appId/"
    "{client_id}"
)
_USER: Final = (
    "{portal}/{tenant_id}/#view/Microsoft_AAD_UsersAndTenants/UserProfileMenuBlade/~/overview"
    "/userId/{object_id}"
)
_CONDITIONAL_ACCESS: Final = (
    "{portal}/{tenant_id}/#view/Microsoft_AAD_ConditionalAccess/ConditionalAccessBlade/~/Policies"
)
_NEW_LINK: Final = (
    "Make a new link with POST organizations/{organization_id}/consent-link and send it to the "
    "customer's administrator, who opens it and approves once."
)
_SPREADS: Final = "A minute or two; a token issued before may keep the old rights for an hour."
_ASK_ADMIN: Final = "Ask your administrator to approve this app for your organization."
_SUPPORT: Final = (
    "Look the code up at https://login.microsoftonline.com/error?code={code}; Microsoft's support "
    "asks for the request id."
)

REMEDIES: Final[Mapping[Issue, Remedy]] = {
    # --- the tenant's approval
    Issue.CONSENT_MISSING: Remedy(
        "The customer's administrator has not approved the app yet.",
        Responsible.ENTRA_ADMIN,
        _NEW_LINK,
        _SPREADS,
        _PERMISSIONS,
        _ASK_ADMIN,
    ),
    Issue.CONSENT_WITHDRAWN: Remedy(
        "The customer's administrator has taken back the approval of the app.",
        Responsible.ENTRA_ADMIN,
        _NEW_LINK,
        _SPREADS,
        _PERMISSIONS,
        _ASK_ADMIN,
    ),
    Issue.CONSENT_DECLINED: Remedy(
        "The administrator who opened the link declined the approval.",
        Responsible.ENTRA_ADMIN,
        "Clear up what kept them from it, then: " + _NEW_LINK,
        _SPREADS,
        None,
        _ASK_ADMIN,
    ),
    Issue.APPROVAL_NEEDED: Remedy(
        "In this tenant only an administrator may approve the app, and none has.",
        Responsible.ENTRA_ADMIN,
        "Approve the waiting request, or open the organization's consent link. " + _NEW_LINK,
        _SPREADS,
        _PERMISSIONS,
        _ASK_ADMIN,
    ),
    Issue.APP_GONE: Remedy(
        "The app does not exist in the tenant: it was never approved there, or it was removed.",
        Responsible.ENTRA_ADMIN,
        _NEW_LINK + " Approving creates the enterprise application {client_id} anew.",
        _SPREADS,
        None,
        _ASK_ADMIN,
    ),
    Issue.APP_DISABLED: Remedy(
        "The app is switched off in the tenant.",
        Responsible.ENTRA_ADMIN,
        "Enterprise applications > the app > Properties > 'Enabled for users to sign-in?': Yes. "
        "Or: Update-MgServicePrincipal -ServicePrincipalId (Get-MgServicePrincipal -Filter "
        "\"appId eq '{client_id}'\").Id -AccountEnabled:$true",
        "A few minutes.",
        _PROPERTIES,
        "Ask your administrator to switch this app on again.",
    ),
    Issue.PERMISSION_MISSING: Remedy(
        "The app is in the tenant, but lacks the application permission that this needs.",
        Responsible.ENTRA_ADMIN,
        "Enterprise applications > the app > Permissions > 'Grant admin consent'. Or: " + _NEW_LINK,
        _SPREADS,
        _PERMISSIONS,
        _ASK_ADMIN,
    ),
    Issue.USER_PERMISSION_MISSING: Remedy(
        "The app may not write into calendars on behalf of the tenant's users.",
        Responsible.ENTRA_ADMIN,
        "Grant the delegated permission Calendars.ReadWrite to all users: Enterprise applications "
        "> the app > Permissions > 'Grant admin consent'. Or: " + _NEW_LINK,
        _SPREADS,
        _PERMISSIONS,
        _ASK_ADMIN,
    ),
    Issue.NOT_ASSIGNED: Remedy(
        "The tenant lets only assigned people use the app, and this person is not one of them.",
        Responsible.ENTRA_ADMIN,
        "Enterprise applications > the app > Users and groups: add the person or their group "
        "(members of nested groups do not count). Or: New-MgUserAppRoleAssignment -UserId "
        "{object_id} -PrincipalId {object_id} -ResourceId (Get-MgServicePrincipal -Filter "
        "\"appId eq '{client_id}'\").Id -AppRoleId 00000000-0000-0000-0000-000000000000",
        "A few minutes; the person then signs in again.",
        _ASSIGNMENTS,
        "Ask your administrator to assign you to this app.",
    ),
    Issue.CONDITIONAL_ACCESS: Remedy(
        "A conditional access policy of the tenant blocks the app.",
        Responsible.ENTRA_ADMIN,
        "Sign-in logs > the failed sign-in > Conditional Access names the policy. Let it allow the "
        "app {client_id}, or the situation this person signs in from.",
        "A few minutes; up to a day for some location policies.",
        _CONDITIONAL_ACCESS,
        "Sign in from a device and place your organization allows, or ask your administrator.",
    ),
    Issue.SIGN_IN_AGAIN: Remedy(
        "Entra wants this person to prove more before the app may act for them.",
        Responsible.USER,
        "Sign in again; the frontend passes on the claims challenge.",
        "At once.",
        None,
        "Sign in again.",
    ),
    Issue.TENANT_UNKNOWN: Remedy(
        "There is no tenant {tenant_id} in this cloud.",
        Responsible.PLATFORM,
        "Check the id: Entra admin center > Overview > Tenant ID. Customers of a national cloud "
        "need a deployment in that cloud. Then create the organization anew.",
        "At once.",
        None,
        "Tell the mentoring platform: your organization is registered with a wrong tenant.",
    ),
    Issue.FOREIGN_ACCOUNT: Remedy(
        "The account belongs to another tenant and is not known in this one.",
        Responsible.USER,
        "Sign in with an account of this organization.",
        "At once.",
        None,
        "Sign in with your account of this organization.",
    ),
    # --- this deployment's own credential
    Issue.SECRET_WRONG: Remedy(
        "Entra refuses the app's client secret.",
        Responsible.US,
        "Make a new secret at the app registration {client_id} and put its value (not its id) into "
        "Key Vault; no restart is needed.",
        "At once.",
        _REGISTRATION,
        "Nothing: the operator of this service must mend it.",
    ),
    Issue.SECRET_EXPIRED: Remedy(
        "The app's client secret has expired.",
        Responsible.US,
        "az ad app credential reset --id {client_id} --append, then put the new value into Key "
        "Vault; no restart is needed.",
        "At once.",
        _REGISTRATION,
        "Nothing: the operator of this service must mend it.",
    ),
    Issue.CERTIFICATE_UNKNOWN: Remedy(
        "Entra does not know the app's certificate.",
        Responsible.US,
        "Upload the certificate that Key Vault holds to the app registration {client_id}.",
        "A minute.",
        _REGISTRATION,
        "Nothing: the operator of this service must mend it.",
    ),
    Issue.FEDERATION_WRONG: Remedy(
        "No federated credential of the app registration fits the app's managed identity.",
        Responsible.US,
        "az ad app federated-credential list --id {client_id}: issuer, subject (the identity's "
        "principal id) and audience must fit letter by letter.",
        "A few minutes.",
        _REGISTRATION,
        "Nothing: the operator of this service must mend it.",
    ),
    Issue.REGISTRATION_WRONG: Remedy(
        "The app registration does not list a permission or right that the app needs.",
        Responsible.US,
        "Complete the API permissions of the app registration {client_id}, then let every customer "
        "approve again.",
        _SPREADS,
        _REGISTRATION,
        "Nothing: the operator of this service must mend it.",
    ),
    Issue.CREDENTIAL_ABSENT: Remedy(
        "This deployment has nothing to prove itself to Entra with.",
        Responsible.US,
        "Check APP_CREDENTIAL, the secret or certificate it names in Key Vault, and that the app's "
        "managed identity is assigned and may read Key Vault.",
        "At once.",
        _REGISTRATION,
        "Nothing: the operator of this service must mend it.",
    ),
    # --- the mailbox
    Issue.MAILBOX_NOT_HOSTED: Remedy(
        "The mailbox is not in Exchange Online, has no licence, was deleted, or is being made.",
        Responsible.EXCHANGE_ADMIN,
        "Get-EXORecipient {object_id} shows where it is. RecipientTypeDetails MailUser: it is on "
        "premises, move it to Exchange Online (New-MoveRequest). No recipient: assign a licence "
        "with Exchange Online.",
        "A new mailbox: minutes to a day. A move: hours.",
        _USER,
        "Your mailbox is not in Exchange Online, or has no licence. Ask your administrator.",
    ),
    Issue.MAILBOX_ON_PREMISES: Remedy(
        "The mailbox lies on an on-premises server, where Graph does not reach it.",
        Responsible.EXCHANGE_ADMIN,
        "Move it to Exchange Online: New-MoveRequest -Identity {object_id} -Remote. Until then the "
        "person can be invited, but cannot organize.",
        "Hours, depending on its size.",
        _USER,
        "Your mailbox is still on your organization's own server: you can be invited to sessions, "
        "but not book them. Ask your administrator.",
    ),
    Issue.MAILBOX_UNLICENSED: Remedy(
        "The person has no licence with Exchange Online, and so no mailbox.",
        Responsible.ENTRA_ADMIN,
        "Assign one: Set-MgUserLicense -UserId {object_id} -AddLicenses "
        "@{{SkuId = '<sku>'}} -RemoveLicenses @()",
        "Minutes to a day, until the mailbox is made.",
        _USER,
        "You have no mailbox licence. Ask your administrator.",
    ),
    Issue.ACCOUNT_GONE: Remedy(
        "The tenant has no such account: it was deleted, or the id is of somebody else.",
        Responsible.PLATFORM,
        "Check the object id {object_id} in the pairing. Accounts deleted in the last 30 days can "
        "be restored: Restore-MgDirectoryDeletedItem -DirectoryObjectId {object_id}",
        "A restored mailbox: up to an hour.",
        _USER,
        "Your account was not found. Ask your administrator.",
    ),
    Issue.ACCOUNT_DISABLED: Remedy(
        "The account is blocked from signing in.",
        Responsible.ENTRA_ADMIN,
        "Update-MgUser -UserId {object_id} -AccountEnabled:$true",
        "A few minutes.",
        _USER,
        "Your account is blocked. Ask your administrator.",
    ),
    Issue.GUEST: Remedy(
        "The person is a guest: their mailbox is in another tenant.",
        Responsible.PLATFORM,
        "Name them in the pairing by address alone, without object id: they are then invited by "
        "mail and their time counts as unknown.",
        "At once.",
        _USER,
        "You are a guest here: you can be invited to sessions, but not book them.",
    ),
    Issue.SHARED_MAILBOX: Remedy(
        "It is a shared mailbox: nobody signs in as it, so nobody can book in its name.",
        Responsible.PLATFORM,
        "Put the person's own account into the pairing in place of the shared mailbox.",
        "At once.",
        _USER,
        "This is a shared mailbox. Sign in with your own account.",
    ),
    Issue.MAILBOX_STALE: Remedy(
        "The mailbox is being moved, or Graph's memory of where it is lags behind.",
        Responsible.NOBODY,
        "Wait and look again. If it lasts for a day, ask Microsoft's support about "
        "MailboxInfoStale, with the request id.",
        "Usually minutes.",
        None,
        "Your mailbox is being moved. Try again later.",
    ),
    Issue.OUT_OF_SCOPE: Remedy(
        "Exchange does not let the app into this mailbox: it is outside the scope that the tenant "
        "gave it, or the calendar permission was not granted at all.",
        Responsible.EXCHANGE_ADMIN,
        "Test-ServicePrincipalAuthorization -Identity {client_id} -Resource {address} shows the "
        "scope; put the person directly into its group. If the app is not scoped in Exchange, "
        "grant Calendars.Read in Entra instead.",
        "30 minutes to 2 hours.",
        "https://learn.microsoft.com/exchange/permissions-exo/application-rbac",
        "Your organization lets this app into some mailboxes only, not yours. Ask your "
        "administrator.",
    ),
    Issue.ACCESS_POLICY: Remedy(
        "An application access policy of Exchange keeps the app out of this mailbox.",
        Responsible.EXCHANGE_ADMIN,
        "Test-ApplicationAccessPolicy -AppId {client_id} -Identity {address}; then "
        "Add-DistributionGroupMember -Identity <the policy's group> -Member {address}",
        "Over an hour.",
        "https://learn.microsoft.com/exchange/permissions-exo/application-rbac",
        "Your organization lets this app into some mailboxes only, not yours. Ask your "
        "administrator.",
    ),
    # --- following
    Issue.SUBSCRIPTIONS_REFUSED: Remedy(
        "Reading works, but Graph refuses to tell about changes in this mailbox.",
        Responsible.PLATFORM,
        "Set the organization to polling: PATCH organizations/{organization_id} "
        '{{"settings": {{"sync_mode": "poll"}}}}. Answers then take up to five minutes in place '
        "of seconds.",
        "At once.",
        None,
        "Nothing: answers given in Outlook arrive here a few minutes later.",
    ),
    Issue.WEBHOOK_UNREACHABLE: Remedy(
        "Graph could not reach this deployment's webhook to shake hands.",
        Responsible.US,
        "PUBLIC_URL must be reachable from the internet over HTTPS and answer within ten seconds: "
        "check the URL, its certificate and network rules.",
        "At once.",
        None,
        "Nothing: the operator of this service must mend it.",
    ),
    # --- nobody's fault, or not known
    Issue.THROTTLED: Remedy(
        "Microsoft asks to wait: too many requests at once.",
        Responsible.NOBODY,
        "Look again in a few minutes.",
        "Minutes.",
        None,
        "Try again in a few minutes.",
    ),
    Issue.NO_ANSWER: Remedy(
        "Microsoft's service did not answer.",
        Responsible.NOBODY,
        "Look again in a few minutes; https://status.cloud.microsoft tells of outages.",
        "Minutes.",
        "https://status.cloud.microsoft",
        "Try again in a few minutes.",
    ),
    Issue.NOT_TRIED: Remedy(
        "It cannot be tried before the app gets a token for the tenant.",
        Responsible.NOBODY,
        "Mend the token first.",
        "At once.",
    ),
    Issue.NEEDS_PERSON: Remedy(
        "Only a participant's own sign-in can show it: nothing else may write in their name.",
        Responsible.USER,
        "Let the participant open the platform; GET me tells them and you.",
        "At once.",
    ),
    Issue.NEEDS_MAILBOX: Remedy(
        "It can be tried in a mailbox only, and none was named.",
        Responsible.PLATFORM,
        "Name one: GET organizations/{organization_id}/diagnostics?mailbox=<object id>",
        "At once.",
    ),
    Issue.NO_TENANT: Remedy(
        "The organization's tenant is not known before an administrator has approved the app.",
        Responsible.ENTRA_ADMIN,
        _NEW_LINK,
        _SPREADS,
        None,
        _ASK_ADMIN,
    ),
    Issue.UNKNOWN_REFUSAL: Remedy(
        "Microsoft refused for a reason that this service does not know ({code}).",
        Responsible.US,
        _SUPPORT,
        "Not known.",
        None,
        "Ask your administrator; the code may help them.",
    ),
}

UNCERTAIN: Final = frozenset(
    {
        Issue.THROTTLED,
        Issue.NO_ANSWER,
        Issue.MAILBOX_STALE,
        Issue.NOT_TRIED,
        Issue.NEEDS_PERSON,
        Issue.NEEDS_MAILBOX,
    }
)
"""Issues that leave open whether it works."""

BY_AADSTS: Final[Mapping[int, Issue]] = {
    65001: Issue.CONSENT_MISSING,
    500011: Issue.CONSENT_MISSING,
    65004: Issue.CONSENT_DECLINED,
    90094: Issue.APPROVAL_NEEDED,
    90095: Issue.APPROVAL_NEEDED,
    700016: Issue.APP_GONE,
    7000112: Issue.APP_DISABLED,
    50105: Issue.NOT_ASSIGNED,
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
"""Entra's numbers: https://learn.microsoft.com/entra/identity-platform/reference-error-codes"""

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
"""Graph's codes, lower case."""

LOST_CONSENT: Final = frozenset(
    {
        Issue.CONSENT_MISSING,
        Issue.APPROVAL_NEEDED,
        Issue.APP_GONE,
        Issue.APP_DISABLED,
        Issue.PERMISSION_MISSING,
    }
)
"""What the app's own token or the directory says when the tenant does not let the app in."""
