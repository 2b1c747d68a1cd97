#!/usr/bin/env bash
# The app registration without the Microsoft Graph Bicep extension: the same one as main.bicep beside it, by its uniqueName.
#   [PAGE_URL=https://…/] infra/entra/register.sh API_HOST [IDENTITY_PRINCIPAL_ID] [application] [poll]
# PAGE_URL is where the booking page is. UNIQUE_NAME is another key than mentor-calendar, for a second deployment in the same tenant. Safe to
# run again. Needs: az login, and the right to register applications.
# In a registration that exists it shows what would change, and asks; with YES=1 it goes on by itself.
# The registration is APP_CLIENT_ID, else the one that the first run noted in APP_ID_FILE, else the one with the uniqueName. It takes none
# with owners other than you and APP_OWNERS (object ids), nor, if it is not the noted one, with credentials other than APP_CREDENTIALS (key
# ids, and names of federated ones): an owner, and who has a credential, can act as the app in every customer's tenant.
set -euo pipefail

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

usage='usage: infra/entra/register.sh API_HOST [IDENTITY_PRINCIPAL_ID] [application] [poll]'
host=${1:?$usage}
principal=''
modes=' '
for word in "${@:2}"; do
  case $word in
    application | poll) modes+="$word " ;;
    ????????-????-????-????-????????????) principal=$word ;;
    *) fail "$word is no object id of an identity, nor application or poll." "$usage" ;;
  esac
done
unique=${UNIQUE_NAME:-mentor-calendar}
name='Mentor Calendar'
[ "$unique" = mentor-calendar ] || name="Mentor Calendar ($unique)"
graph=00000003-0000-0000-c000-000000000000
url=https://graph.microsoft.com/v1.0/applications
# main.bicep has the same two ids. One that is enabled cannot be replaced by another.
scope_id=9d3b8a5e-6f0c-4b1d-8a57-2c1f0e7d4b36
role_id=4e7a1c90-52d8-4f6b-9e03-b8d5a6f1c274

# Delegated (Scope): what happens in the signed-in user's name. docs/permissions.md has the reasons.
scopes=(
  37f7f235-527c-4136-accd-4a02d197296e # openid
  14dad69e-099b-42c9-810b-d002981feec1 # profile
  7427e0e9-2fba-42fe-b0c0-848c9e6a8182 # offline_access
  e1fe6dd8-ba31-4d61-89e7-88639da4683d # User.Read
  1ec239c2-d7c9-4623-a91a-a9775856bb36 # Calendars.ReadWrite
)
# Application (Role): what the app does by itself.
roles=(97235f07-e226-4f63-ace3-39588e11d3a1) # User.ReadBasic.All
case $modes in
  *' poll '*) roles+=(8ba4a692-bc31-4128-9094-475872af8a53) ;; # Calendars.ReadBasic.All
  *) roles+=(798ee544-9d2d-430c-a058-570e29e34338) ;; # Calendars.Read
esac
case $modes in *' application '*) roles+=(ef54d2bf-783f-4e0f-bca1-3210c0444d99) ;; esac # Calendars.ReadWrite

refuse_other_owners() {
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
}

refuse_other_credentials() {
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
}

# What the registration has of that which is replaced as a whole, one fact a line.
present() {
  az ad app show --id "$app" --output tsv --query "[
    requiredResourceAccess[].resourceAccess[].join(' ', ['permission', type, id]),
    requiredResourceAccess[?resourceAppId!='$graph'].join(' ', ['permissions of the API', resourceAppId]),
    web.redirectUris[].join(' ', ['address of consent', @]), spa.redirectUris[].join(' ', ['address of the page', @]),
    identifierUris[].join(' ', ['identifier', @]), api.oauth2PermissionScopes[].join(' ', ['scope', value]),
    appRoles[].join(' ', ['role', value]), optionalClaims.accessToken[].join(' ', ['claim', name])][]" || return
  [ -z "$principal" ] || az ad app federated-credential list --id "$app" --output tsv \
    --query "[?name=='function-app-identity'].join(' ', ['identity', subject])"
}

# What it will have, likewise.
wanted() {
  printf 'permission Scope %s\n' "${scopes[@]}"
  printf 'permission Role %s\n' "${roles[@]}"
  echo "address of consent https://$host/api/consent/callback"
  [ -z "${PAGE_URL:-}" ] || printf 'address of the page %s\n' "${PAGE_URL%/}/signed-in.html" "${PAGE_URL%/}/"
  printf '%s\n' "identifier api://$app" 'scope access_as_user' 'role Platform.Manage' 'claim idtyp'
  [ -z "$principal" ] || echo "identity $principal"
}

ask() {
  names=$(sed -nE 's/^[^#]*([0-9a-f]{8}-[0-9a-f-]{27})[^#]*# ([A-Za-z_.]+)$/s,\1,\2,;/p' "$0")
  now=$(present)
  [ -n "${PAGE_URL:-}" ] || now=$(sed '/^address of the page/d' <<<"$now") # left as they are
  changes=$(diff <(sed '/^$/d' <<<"$now" | sort) <(wanted | sort) | sed -n -e 's/^</  takes away:/p' -e 's/^>/  adds:      /p' | sed "$names" || true)
  if [ -z "$changes" ]; then return; fi
  printf '%s\n' "The registration $app changes:" "$changes" >&2
  if [ "${YES:-}" = 1 ]; then return; fi
  [ -t 0 ] || fail 'Nothing was changed. Run again with YES=1 if it is right.'
  read -r -p 'Go on? [y/N] ' answer
  [ "$answer" = y ] || fail 'Nothing was changed.'
}

id_file=${APP_ID_FILE:-$(dirname "$0")/app-client-id}
noted=$(cat "$id_file" 2>/dev/null || true)
app=${APP_CLIENT_ID:-$noted}
if [ -z "$app" ] && ! app=$(az rest --url "$url(uniqueName='$unique')" --query appId --output tsv 2>&1); then
  case $app in
    *Request_ResourceNotFound*) app='' ;;
    *) fail "$app" ;; # whether there is one is not known
  esac
fi
if [ -n "$app" ]; then
  az ad app show --id "$app" --output none || fail "There is no registration $app here." \
    "Check APP_CLIENT_ID and the tenant of az login. To make a new one, unset APP_CLIENT_ID and remove $id_file."
  refuse_other_owners
  [ "$app" = "$noted" ] || refuse_other_credentials
  ask
else
  found=$(az ad app list --filter "displayName eq '$name'" --query '[].appId' --output tsv)
  [ -z "$found" ] || fail "There are registrations with the name $name:" "$found" \
    "If one of them is yours, run again with APP_CLIENT_ID. Anybody who may register applications can make one of this name: if" \
    "none is, delete them or rename them first."
  az rest --method PATCH --url "$url(uniqueName='$unique')" --headers Prefer=create-if-missing Content-Type=application/json \
    --body "{\"displayName\": \"$name\", \"signInAudience\": \"AzureADMultipleOrgs\"}" --output none
  app=$(az rest --url "$url(uniqueName='$unique')" --query appId --output tsv)
fi
echo "$app" >"$id_file"

access=$(
  for id in "${scopes[@]}"; do echo "{\"id\":\"$id\",\"type\":\"Scope\"}"; done
  for id in "${roles[@]}"; do echo "{\"id\":\"$id\",\"type\":\"Role\"}"; done
)
more=''
if [ -n "${PAGE_URL:-}" ]; then # where signing in, and out, returns to
  more=", \"spa\": {\"redirectUris\": [\"${PAGE_URL%/}/signed-in.html\", \"${PAGE_URL%/}/\"]}"
fi
facts=$(az ad app show --id "$app" --output tsv --query "join(' ', [id, uniqueName || '-',
  api.oauth2PermissionScopes[?value=='access_as_user'].id | [0] || '$scope_id', appRoles[?value=='Platform.Manage'].id | [0] || '$role_id'])")
read -r object named scope role <<<"$facts"
case $named in
  "$unique") ;;
  -) # of a registration by the portal: from now on main.bicep finds it too, unless another has the key
    taken=$(az rest --url "$url(uniqueName='$unique')" --query appId --output tsv 2>/dev/null || true)
    if [ -z "$taken" ]; then more+=", \"uniqueName\": \"$unique\""; else echo "The key $unique is that of $taken: give this one its own in UNIQUE_NAME." >&2; fi ;;
  *) echo "Its uniqueName is $named: give main.bicep that as its uniqueName." >&2 ;;
esac
az rest --method PATCH --url "$url/$object" --headers Content-Type=application/json --output none --body "{
  \"identifierUris\": [\"api://$app\"], \"signInAudience\": \"AzureADMultipleOrgs\",
  \"requiredResourceAccess\": [{\"resourceAppId\": \"$graph\", \"resourceAccess\": [$(paste -sd, <<<"$access")]}],
  \"web\": {\"redirectUris\": [\"https://$host/api/consent/callback\"],
    \"implicitGrantSettings\": {\"enableAccessTokenIssuance\": false, \"enableIdTokenIssuance\": false}},
  \"api\": {\"requestedAccessTokenVersion\": 2, \"oauth2PermissionScopes\": [{
    \"id\": \"$scope\", \"value\": \"access_as_user\", \"type\": \"User\", \"isEnabled\": true,
    \"adminConsentDisplayName\": \"Book mentoring sessions for you\",
    \"adminConsentDescription\": \"See when people who may meet are free, and book their mentoring sessions in their own name.\",
    \"userConsentDisplayName\": \"Book mentoring sessions for you\",
    \"userConsentDescription\": \"See when you are free, and book your mentoring sessions in your own name.\"}]},
  \"optionalClaims\": {\"accessToken\": [{\"name\": \"idtyp\"}]},
  \"appRoles\": [{
    \"id\": \"$role\", \"value\": \"Platform.Manage\", \"isEnabled\": true, \"allowedMemberTypes\": [\"Application\"],
    \"displayName\": \"Manage organizations and pairings\",
    \"description\": \"For the mentoring platform's own backend.\"}],
  \"groupMembershipClaims\": \"DirectoryRole\",
  \"servicePrincipalLockConfiguration\": {\"isEnabled\": true, \"allProperties\": true}$more}"

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
