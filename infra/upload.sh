#!/usr/bin/env bash
# Uploads the built package as it is, and waits until it is deployed. Needs: az login, Website Contributor on the app, curl.
#   infra/upload.sh RESOURCE_GROUP APP_NAME [PACKAGE]
# Not by `az functionapp deployment source config-zip`: for Python on this plan it always has Azure build the package anew, which installs
# everything a second time, at times for another Python.
set -euo pipefail

group=${1:?usage: infra/upload.sh RESOURCE_GROUP APP_NAME [PACKAGE]}
app=${2:?usage: infra/upload.sh RESOURCE_GROUP APP_NAME [PACKAGE]}
package=${3:-dist/mentor-calendar.zip}
pause=${POLL_SECONDS:-5}

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

[ -f "$package" ] || fail "There is no $package. Make it: make package"
scm=$(az resource show --resource-group "$group" --name "$app" --resource-type Microsoft.Web/sites \
  --query "properties.enabledHostNames[?contains(@, '.scm.')] | [0]" --output tsv)
[ -n "$scm" ] || fail "The app $app has no host name for uploads: is it deployed?"

# The token is given to curl by a descriptor: it is never an argument that other users can see.
call() {
  token=$(az account get-access-token --query accessToken --output tsv) || return 1
  curl --silent --show-error --max-time 600 --config <(printf 'header = "Authorization: Bearer %s"\n' "$token") "$@"
}

answer=$(call --write-out '\n%{http_code}' --header 'Content-Type: application/zip' --data-binary "@$package" \
  "https://$scm/api/publish?RemoteBuild=false&Deployer=infra-upload")
status=${answer##*$'\n'}
id=$(tr -d '"' <<<"${answer%$'\n'*}")
case $status in
  202) ;;
  401 | 403) fail "The upload is refused ($status). You need Website Contributor on $app." ;;
  409) fail "Another deployment of $app is running. Run again when it has ended." ;;
  *) fail "The upload failed with $status: ${id:0:300}" ;;
esac
[[ $id =~ ^[A-Za-z0-9-]+$ ]] || id=latest

echo "Uploaded. Deploying ..."
for _ in $(seq 1 "${POLLS:-120}"); do
  state=$(call "https://$scm/api/deployments/$id" | sed -n 's/.*"status": *\(-\{0,1\}[0-9]*\).*/\1/p' | head -n 1) || state=''
  case $state in
    4) echo "Deployed." && exit 0 ;;
    -1) fail "The deployment was cancelled. Run again." ;;
    3) fail "The deployment failed. Its log: https://$scm/api/deployments/$id/log" ;;
    5) fail "Another deployment took its place." ;;
    6) fail "It was deployed in part. Run again." ;;
  esac
  sleep "$pause"
done
fail "The deployment has not ended. Look at https://$scm/api/deployments/$id"
