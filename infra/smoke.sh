#!/usr/bin/env bash
# Checks that a deployment works, and that the package that was built is what runs. Needs: curl, unzip; az login as an identity that may
# use Platform.Manage (docs/deploy.md), or its token in PLATFORM_TOKEN.
#   infra/smoke.sh API_URL APP_CLIENT_ID [PACKAGE]
set -euo pipefail

url=${1:?usage: infra/smoke.sh API_URL APP_CLIENT_ID [PACKAGE]}
client=${2:?usage: infra/smoke.sh API_URL APP_CLIENT_ID [PACKAGE]}
package=${3:-dist/mentor-calendar.zip}
url=${url%/}

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

built=$(unzip -p "$package" build.json 2>/dev/null | sed -n 's/.*"package": *"\([0-9a-f]*\)".*/\1/p') || built=''
[ -n "$built" ] || fail "$package does not say what it is. Make it: make package"

# A first start may take minutes, since role assignments spread slowly.
curl --fail --silent --show-error --retry "${RETRIES:-20}" --retry-delay "${RETRY_SECONDS:-15}" --retry-all-errors --max-time 60 \
  --output /dev/null "$url/api/health" || fail "The deployment does not work: $url/api/health"

token=${PLATFORM_TOKEN:-$(az account get-access-token --scope "api://$client/.default" --query accessToken --output tsv)} ||
  fail "It works, but there is no token to ask what runs. Give this identity Platform.Manage (docs/deploy.md), or set PLATFORM_TOKEN."
for _ in $(seq 1 "${RETRIES:-20}"); do
  details=$(curl --silent --show-error --max-time 60 --config <(printf 'header = "Authorization: Bearer %s"\n' "$token") "$url/api/health/details") || details='' # an instance was just replaced
  runs=$(sed -n 's/.*"package": *"\([0-9a-f]*\)".*/\1/p' <<<"$details")
  if [ "$runs" = "$built" ]; then
    echo "What runs is what was built: $built"
    exit 0
  fi
  sleep "${RETRY_SECONDS:-15}" # instances are replaced one by one
done
fail "What runs is not what was built ($built). The app says: ${details:0:400}"
