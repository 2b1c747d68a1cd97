"""What an issue means, who must do what about it, and how soon that works: a table.

The rules in `diagnosis` derive an issue from the evidence; the texts that people read about it are
here and, for single mailboxes, in `mailbox_remedies`. The placeholders ``{client_id}``,
``{organization_id}``, ``{tenant_id}``, ``{object_id}``, ``{address}``, ``{code}`` and ``{portal}``
are filled in by `diagnosis`.
"""

from collections.abc import Mapping
from typing import Final

from shared.organizations.issues import Issue, Remedy, Responsible
from shared.organizations.mailbox_remedies import MAILBOX_REMEDIES

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
        "Enterprise apps > the app > Properties > 'Enabled for users to sign-in?': Yes. "
        "Or: Update-MgServicePrincipal -ServicePrincipalId (Get-MgServicePrincipal -Filter "
        "\"appId eq '{client_id}'\").Id -AccountEnabled:$true",
        "A few minutes.",
        _PROPERTIES,
        "Ask your administrator to switch this app on again.",
    ),
    Issue.PERMISSION_MISSING: Remedy(
        "The app is in the tenant, but lacks the application permission that this needs.",
        Responsible.ENTRA_ADMIN,
        "Enterprise apps > the app > Permissions > 'Grant admin consent'. Or: " + _NEW_LINK,
        _SPREADS,
        _PERMISSIONS,
        _ASK_ADMIN,
    ),
    Issue.USER_PERMISSION_MISSING: Remedy(
        "The app may not write into calendars on behalf of the tenant's users.",
        Responsible.ENTRA_ADMIN,
        "Grant the delegated permission Calendars.ReadWrite to all users: Enterprise apps > the "
        "app > Permissions > 'Grant admin consent'. Or: " + _NEW_LINK,
        _SPREADS,
        _PERMISSIONS,
        _ASK_ADMIN,
    ),
    Issue.NOT_ASSIGNED: Remedy(
        "The tenant lets only assigned people use the app, and this person is not one of them.",
        Responsible.ENTRA_ADMIN,
        "Enterprise apps > the app > Users and groups: add the person or their group "
        "(members of nested groups do not count). Or: New-MgUserAppRoleAssignment -UserId "
        "{object_id} -PrincipalId {object_id} -ResourceId (Get-MgServicePrincipal -Filter "
        "\"appId eq '{client_id}'\").Id -AppRoleId 00000000-0000-0000-0000-000000000000",
        "A few minutes; the person then signs in again.",
        _ASSIGNMENTS,
        "Ask your administrator to assign you to this app.",
    ),
    Issue.ASSIGNMENT_REQUIRED: Remedy(
        "The tenant lets only assigned people sign in; who they are, the app cannot see.",
        Responsible.ENTRA_ADMIN,
        "Enterprise apps > the app > Users and groups: each participant must be there, or "
        "a group of which they are direct members (those of nested groups do not count). To let "
        "all people in: Properties > Assignment required? > No.",
        "Up to an hour; people then sign in again.",
        _ASSIGNMENTS,
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
        "{cause}Check APP_CREDENTIAL, the secret or certificate it names in Key Vault, and that "
        "the app's managed identity is assigned and may read Key Vault.",
        "At once.",
        _REGISTRATION,
        "Nothing: the operator of this service must mend it.",
    ),
    **MAILBOX_REMEDIES,
    # --- the webhook
    Issue.WEBHOOK_UNREACHABLE: Remedy(
        "Graph could not reach this deployment's webhook to shake hands.",
        Responsible.US,
        "PUBLIC_URL must be reachable from the internet over HTTPS and answer within ten seconds: "
        "check the URL, its certificate and network rules.",
        "At once.",
        None,
        "Nothing: the operator of this service must mend it.",
    ),
    # --- passing, or not known
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
        "Try again in a few minutes; https://status.cloud.microsoft lists outages.",
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
        "Let the participant open the platform: GET me shows the result.",
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
