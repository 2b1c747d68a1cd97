using 'main.bicep'

// The cheapest that works: nothing is kept warm, so Graph sees cold starts and pushes may be delayed.
param environmentName = 'dev'
param appClientId = readEnvironmentVariable('APP_CLIENT_ID')
param platformTenantId = readEnvironmentVariable('PLATFORM_TENANT_ID')
param platformClientIds = readEnvironmentVariable('PLATFORM_CLIENT_IDS')
// Who writes the first keys; empty for nobody, as in a workflow: its identity would read them for good.
param secretsOfficerId = readEnvironmentVariable('SECRETS_OFFICER_ID', '')
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
param instanceMemoryMB = 512
param maximumInstanceCount = 40
param httpConcurrency = 8
param alwaysReadyHttp = 0
