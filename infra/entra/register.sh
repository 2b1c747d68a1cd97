#!/usr/bin/env bash
# The app registration without the Microsoft Graph Bicep extension: the same as main.bicep beside it.
#   [PAGE_URL=https://…/] infra/entra/register.sh API_HOST [IDENTITY_PRINCIPAL_ID] [application] [poll]
# PAGE_URL is where the booking page is. Safe to run again. Needs: az login, and the right to register applications.
# It changes the registration APP_CLIENT_ID, else the one that its first run made and noted in APP_ID_FILE. It never takes one by its name,
# nor one with owners other than you and APP_OWNERS (object ids), nor, at the first run with a registration that it did not make, with
# credentials other than APP_CREDENTIALS (key ids, and names of federated ones): an owner, and who has a credential, can act as the app in
# every customer's tenant.
set -euo pipefail

host=${1:?usage: infra/entra/register.sh API_HOST [IDENTITY_PRINCIPAL_ID] [application] [poll]}
principal=${2:-}
modes=" ${*:3} "
name='Mentor Calendar'
graph=00000003-0000-0000-c000-000000000000

# Delegated (Scope): what happens in the signed-in user's name. docs/permissions.md has the reasons.
scopes=(
  37f7f235-527c-4136-accd-4a02d197296e # openid
  14dad69e-099b-42c9-810b-d002981feec1 # profile
  7427e0e9-2fba-42fe-b0c0-848c9e6a8182 # offline_access
  e1fe6dd8-ba31-4d61-89e7-88639da4683d # User.Read
  1ec239c2-d7c9-4623-a91a-a9775856bb36 # Calendars.ReadWrite
  b340eb25-3456-403f-be2f-af7a0d370277 # User.ReadBasic.All
)
# Application (Role): what the app does by itself.
roles=(97235f07-e226-4f63-ace3-39588e11d3a1) # User.ReadBasic.All
case $modes in
  *' poll '*) roles+=(8ba4a692-bc31-4128-9094-475872af8a53) ;; # Calendars.ReadBasic.All
  *) roles+=(798ee544-9d2d-430c-a058-570e29e34338) ;; # Calendars.Read
esac
case $modes in *' application '*) roles+=(ef54d2bf-783f-4e0f-bca1-3210c0444d99) ;; esac # Calendars.ReadWrite

spa=''
if [ -n "${PAGE_URL:-}" ]; then # where signing in, and out, returns to
  spa=", \"spa\": {\"redirectUris\": [\"${PAGE_URL%/}/signed-in.html\", \"${PAGE_URL%/}/\"]}"
fi

access=$(
  for id in "${scopes[@]}"; do echo "{\"id\":\"$id\",\"type\":\"Scope\"}"; done
  for id in "${roles[@]}"; do echo "{\"id\":\"$id\",\"type\":\"Role\"}"; done
)
required="[{\"resourceAppId\":\"$graph\",\"resourceAccess\":[$(paste -sd, <<<"$access")]}]"

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

id_file=${APP_ID_FILE:-$(dirname "$0")/app-client-id}
app=${APP_CLIENT_ID:-$(cat "$id_file" 2>/dev/null || true)}
if [ -n "$app" ]; then
  az ad app show --id "$app" --output none || fail "There is no registration $app here." \
    "Check APP_CLIENT_ID and the tenant of az login. To make a new one, unset APP_CLIENT_ID and remove $id_file."
  me=$(az ad signed-in-user show --query id --output tsv 2>/dev/null) ||
    me=$(az ad sp show --id "$(az account show --query user.name --output tsv)" --query id --output tsv)
  owners=$(az ad app owner list --id "$app" --query '[].id' --output tsv) # alone: a list that fails in `for` would be an empty one
  for owner in $owners; do
    case " $me ${APP_OWNERS:-} " in
      *" $owner "*) ;;
      *) fail "The registration $app is also owned by $owner, who can act as the app." \
        "If you know the owner, run again with APP_OWNERS=\"${APP_OWNERS:+$APP_OWNERS }$owner\"." \
        "Otherwise remove the owner, and look at the credentials:" \
        "  az ad app owner remove --id $app --owner-object-id $owner" \
        "  az ad app credential list --id $app; az ad app credential list --id $app --cert" \
        "  az ad app federated-credential list --id $app" ;;
    esac
  done
  if [ "$app" != "$(cat "$id_file" 2>/dev/null || true)" ]; then
    secrets=$(az ad app credential list --id "$app" --query '[].keyId' --output tsv)
    certificates=$(az ad app credential list --id "$app" --cert --query '[].keyId' --output tsv)
    federated=$(az ad app federated-credential list --id "$app" --query "[?name!='function-app-identity' || subject!='$principal'].name" --output tsv)
    for credential in $secrets $certificates $federated; do
      case " ${APP_CREDENTIALS:-} " in
        *" $credential "*) ;;
        *) fail "The registration $app has the credential $credential: whoever has it can act as the app." \
          "If it is yours, run again with APP_CREDENTIALS=\"${APP_CREDENTIALS:+$APP_CREDENTIALS }$credential\"." \
          "Otherwise remove it, as the kind of credential that it is:" \
          "  az ad app credential delete --id $app --key-id $credential" \
          "  az ad app credential delete --id $app --key-id $credential --cert" \
          "  az ad app federated-credential delete --id $app --federated-credential-id $credential" ;;
      esac
    done
  fi
else
  found=$(az ad app list --filter "displayName eq '$name'" --query '[].appId' --output tsv)
  [ -z "$found" ] || fail "There are registrations with the name $name:" "$found" \
    "If one of them is yours, run again with APP_CLIENT_ID. Anybody who may register applications can make one of this name: if" \
    "none is, delete them or rename them first."
  app=$(az ad app create --display-name "$name" --sign-in-audience AzureADMultipleOrgs \
    --requested-access-token-version 2 --query appId --output tsv)
fi
echo "$app" >"$id_file"
az ad app update --id "$app" --identifier-uris "api://$app" \
  --web-redirect-uris "https://$host/api/consent/callback" \
  --required-resource-accesses "$required"

object=$(az ad app show --id "$app" --query id --output tsv)
scope=$(az ad app show --id "$app" --query "api.oauth2PermissionScopes[?value=='access_as_user'].id | [0]" --output tsv)
role=$(az ad app show --id "$app" --query "appRoles[?value=='Platform.Manage'].id | [0]" --output tsv)
az rest --method PATCH --url "https://graph.microsoft.com/v1.0/applications/$object" --headers Content-Type=application/json --body "{
  \"api\": {\"requestedAccessTokenVersion\": 2, \"oauth2PermissionScopes\": [{
    \"id\": \"${scope:-$(uuidgen)}\", \"value\": \"access_as_user\", \"type\": \"User\", \"isEnabled\": true,
    \"adminConsentDisplayName\": \"Book mentoring sessions for you\",
    \"adminConsentDescription\": \"See when people who may meet are free, and book their mentoring sessions in their own name.\",
    \"userConsentDisplayName\": \"Book mentoring sessions for you\",
    \"userConsentDescription\": \"See when you are free, and book your mentoring sessions in your own name.\"}]},
  \"optionalClaims\": {\"accessToken\": [{\"name\": \"idtyp\"}]},
  \"appRoles\": [{
    \"id\": \"${role:-$(uuidgen)}\", \"value\": \"Platform.Manage\", \"isEnabled\": true, \"allowedMemberTypes\": [\"Application\"],
    \"displayName\": \"Manage organizations and pairings\",
    \"description\": \"For the mentoring platform's own backend.\"}],
  \"groupMembershipClaims\": \"DirectoryRole\",
  \"servicePrincipalLockConfiguration\": {\"isEnabled\": true, \"allProperties\": true}$spa}"

az ad sp show --id "$app" >/dev/null 2>&1 || az ad sp create --id "$app" >/dev/null

if [ -n "$principal" ]; then
  tenant=$(az account show --query tenantId --output tsv)
  credential="{\"name\": \"function-app-identity\", \"audiences\": [\"api://AzureADTokenExchange\"], \"subject\": \"$principal\",
    \"issuer\": \"https://login.microsoftonline.com/$tenant/v2.0\"}"
  known=$(az ad app federated-credential list --id "$app" --query "[?name=='function-app-identity'].subject" --output tsv)
  if [ -z "$known" ]; then
    az ad app federated-credential create --id "$app" --parameters "$credential" --output none
  elif [ "$known" != "$principal" ]; then # the identity was made anew
    az ad app federated-credential update --id "$app" --federated-credential-id function-app-identity --parameters "$credential" --output none
  fi
fi

echo "APP_CLIENT_ID=$app"
