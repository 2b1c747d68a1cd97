using 'main.bicep'

param environmentName = 'prod'
param appClientId = readEnvironmentVariable('APP_CLIENT_ID')
param platformTenantId = readEnvironmentVariable('PLATFORM_TENANT_ID')
param platformClientIds = readEnvironmentVariable('PLATFORM_CLIENT_IDS')
// Who writes the first keys; empty for nobody, as in a workflow: its identity would read them for good.
param secretsOfficerId = readEnvironmentVariable('SECRETS_OFFICER_ID', '')
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
param instanceMemoryMB = 2048
param maximumInstanceCount = 100
param httpConcurrency = 16
// Two, so that one serves while the other is updated; and what zone redundancy asks for at least.
param alwaysReadyHttp = 2
param logRetentionDays = 90
// Spans and metrics: one trace from the caller through the queues to Graph. The workbook needs none of them.
param telemetry = 'traces'
// By choice: zones where the region has them, private endpoints for storage and vault.
param zoneRedundant = false
param storageSku = 'Standard_ZRS' // Standard_LRS where the region has no zones
param privateEndpoints = false
