"""What an issue of one mailbox means, who must act, and how. See `remedies`."""

from collections.abc import Mapping
from typing import Final

from shared.organizations.issues import Issue, Remedy, Responsible

_USER: Final = (
    "{portal}/{tenant_id}/#view/Microsoft_AAD_UsersAndTenants/UserProfileMenuBlade/~/overview"
    "/userId/{object_id}"
)

MAILBOX_REMEDIES: Final[Mapping[Issue, Remedy]] = {
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
        "The tenant has no such account: it was deleted, or the id is wrong.",
        Responsible.PLATFORM,
        "Check the object id {object_id} in the pairing. Accounts deleted in the last 30 days can "
        "be restored: Restore-MgDirectoryDeletedItem -DirectoryObjectId {object_id}. An account "
        "created anew has a new id: register its pairings again, and book its sessions again.",
        "A restored mailbox: up to an hour.",
        _USER,
        "Your account was not found. Ask your administrator.",
    ),
    Issue.ACCOUNT_RECREATED: Remedy(
        "The account was deleted, and its address belongs to another account now.",
        Responsible.PLATFORM,
        "If both are the same person, register the pairings of {object_id} again, with the object "
        "id of the new account. The sessions of the old account stay as they are, and the new one "
        "does not see them: book them again. If the old account was deleted by mistake, restore it "
        "within 30 days: Restore-MgDirectoryDeletedItem -DirectoryObjectId {object_id}.",
        "At once for new sessions. A restored mailbox: up to an hour.",
        _USER,
        "Your account is a new one, which your mentoring platform does not know yet. Ask them.",
    ),
    Issue.FOREIGN_IDS: Remedy(
        "Exchange says that the stored ids of this mailbox's events belong to another mailbox.",
        Responsible.US,
        "Report it to the operator of this service, with the object id {object_id}. The sessions "
        "stay as they are meanwhile, and are followed again as soon as their events can be read.",
        "With the next look, within an hour.",
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
        "It is a shared mailbox: no person signs in with it, so it cannot book sessions.",
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
}
