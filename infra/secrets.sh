#!/usr/bin/env bash
# Makes the signing keys the app needs, straight into Key Vault: no secret is in any file or template.
# Whoever runs it needs "Key Vault Secrets Officer" on the vault: the templates grant it to SECRETS_OFFICER_ID (docs/deploy.md).
#   infra/secrets.sh VAULT_NAME                make what is missing
#   infra/secrets.sh VAULT_NAME rotate         add a new version of each; the one before stays good until the next rotation
#   infra/secrets.sh VAULT_NAME withdraw KEY   after a leak of KEY: add a new version and disable all earlier ones
set -euo pipefail

usage='usage: infra/secrets.sh VAULT_NAME [rotate | withdraw KEY]'
vault=${1:?$usage}
mode=${2:-}
keys=(client-state-key consent-state-key webhook-key)

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# Runs a command on the vault. Waits for ten minutes while the right is missing: one that was just granted takes so long to arrive.
ask() {
  local tried
  for tried in $(seq 1 "${TRIES:-40}"); do
    if "$@" 2>"$errors"; then return 0; fi
    case $(<"$errors") in
      *SecretNotFound*) return 3 ;;
      *ForbiddenByRbac*)
        [ "$tried" -gt 1 ] || echo "Waiting for the right to write secrets ..." >&2
        sleep "${PAUSE_SECONDS:-15}"
        ;;
      *ForbiddenByConnection* | *ForbiddenByFirewall*)
        fail "The vault $vault lets nobody in from here: docs/deploy.md, private vault." ;;
      *) fail "$(<"$errors")" ;;
    esac
  done
  fail "You may not write secrets of $vault. Deploy the templates with SECRETS_OFFICER_ID set to your object id" \
    "(az ad signed-in-user show --query id), which gives you Key Vault Secrets Officer on the vault. Then run this again."
}

make() {
  ask set_random "$1"
}

set_random() {
  # Through a pipe and a descriptor: the value is never an argument that other users can see.
  az keyvault secret set --vault-name "$vault" --name "$1" --encoding utf-8 \
    --file <(openssl rand -base64 32 | tr -d '\n') --query id --output tsv
}

case $mode in
  '')
    for name in "${keys[@]}"; do
      status=0
      ask az keyvault secret show --vault-name "$vault" --name "$name" --query id --output tsv >/dev/null || status=$?
      case $status in
        0) echo "$name is there." ;;
        3)
          make "$name" >/dev/null
          echo "$name is made."
          ;;
        *) exit 1 ;; # whether it is there is unknown: another version would replace it
      esac
    done
    ;;
  rotate)
    for name in "${keys[@]}"; do
      make "$name" >/dev/null
      echo "$name is made."
    done
    ;;
  withdraw)
    name=${3:?$usage}
    [[ " ${keys[*]} " == *" $name "* ]] || fail "There is no key $name, but: ${keys[*]}."
    new=$(make "$name")
    [ -n "$new" ] || fail "The vault did not say which version is new: nothing is disabled."
    earlier=$(az keyvault secret list-versions --vault-name "$vault" --name "$name" --query '[?attributes.enabled].id' --output tsv)
    for id in $earlier; do
      [ "$id" = "$new" ] || az keyvault secret set-attributes --id "$id" --enabled false --output none
    done
    echo "$name is made anew, and nothing that an earlier version signed is good in five minutes."
    case $name in
      consent-state-key) echo "Then make new consent links: those that are open do not work any more." ;;
      webhook-key) echo "Give the new key to the platform's backend: it refuses deliveries until it has it." ;;
      client-state-key) echo "Notifications are dropped until the subscriptions are renewed; reconciliation finds what they would have told." ;;
    esac
    ;;
  *) fail "$usage" ;;
esac
