#!/usr/bin/env bash
# Makes the signing keys the app needs, once, straight into Key Vault: no secret is in any file or template.
# Whoever runs it needs "Key Vault Secrets Officer" on the vault.
#   infra/secrets.sh VAULT_NAME          make what is missing
#   infra/secrets.sh VAULT_NAME rotate   add a new version; the one before stays good until the next rotation
set -euo pipefail

vault=${1:?usage: infra/secrets.sh VAULT_NAME [rotate]}
mode=${2:-}

for name in client-state-key consent-state-key webhook-key; do
  if [ "$mode" != rotate ] && az keyvault secret show --vault-name "$vault" --name "$name" --query id --output tsv >/dev/null 2>&1; then
    echo "$name is there."
    continue
  fi
  # Through a pipe and a descriptor: the value is never an argument that other users can see.
  az keyvault secret set --vault-name "$vault" --name "$name" --encoding utf-8 \
    --file <(openssl rand -base64 32 | tr -d '\n') --query id --output tsv >/dev/null
  echo "$name is made."
done
