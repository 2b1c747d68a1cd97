targetScope = 'resourceGroup'

metadata name = 'Mentor Calendar'
metadata description = 'Office 365 calendars for mentoring platforms: one Functions app with its storage, vault and alerts.'

// ---------------------------------------------------------------------------------------- parameters

@description('Required. Short name of this environment, part of every resource name: dev, prod, a customer.')
@minLength(2)
@maxLength(12)
param environmentName string

@description('Optional. Region of all resources; ask the CLI for regions with Flex Consumption.')
param location string = resourceGroup().location

@description('Optional. Tags put on every resource.')
param tags object = {}

@description('Required. Client id of the app registration (infra/entra), the audience of callers\' tokens.')
@minLength(36)
@maxLength(36)
param appClientId string

@description('Required. Tenant id of the mentoring platform, where the app registration lives.')
@minLength(36)
@maxLength(36)
param platformTenantId string

@description('Required. Client ids of the apps that may use Platform.Manage, separated by commas.')
@minLength(36)
param platformClientIds string

@description('Optional. Client ids, beside the app\'s own, of the apps in which people sign in and that act for them, separated by commas.')
param userClientIds string = ''

@description('Optional. How the app proves itself to Entra. managed-identity needs no secret.')
@allowed(['managed-identity', 'certificate', 'secret'])
param appCredential string = 'managed-identity'

@description('Optional. Where Graph and browsers reach the app, https://HOST, if not by its default name (docs/deploy.md, host names).')
param publicUrl string = ''

@description('Optional. Object id of who writes the first secrets into the vault; empty: nobody gets the right.')
param secretsOfficerId string = ''

@description('Optional. The Microsoft cloud whose Entra and Graph are used.')
@allowed(['global', 'us-gov-l4', 'us-gov-l5', 'china'])
param cloud string = 'global'

@description('Optional. Where the platform is told of changes (docs/webhooks.md), https://...; empty: it asks for them.')
param webhookUrl string = ''

@description('Optional. Spans and metrics beside log lines: some 5 MB of memory and a second of CPU per instance, and more to pay for ingestion.')
@allowed(['logs', 'traces'])
param telemetry string = 'logs'

@description('Optional. How much callers may do, where it differs from the defaults (docs/limits.md): changesPerMinute, changesPerDay, unansweredDates, readsPerMinute, organizationChangesPerMinute, organizationChangesPerDay, organizationReadsPerMinute. 0: any amount.')
param limits object = {}

@description('Optional. Python version of the app.')
@allowed(['3.12', '3.13', '3.14'])
param pythonVersion string = '3.13'

@description('Optional. Memory of one instance in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Optional. Most instances the app may scale out to.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 100

@description('Optional. Requests one instance handles at the same time; Python handles one unless told.')
@minValue(1)
@maxValue(100)
param httpConcurrency int = 16

@description('Optional. HTTP instances that are never cold. Graph throttles an endpoint whose answers take over 3 s: 1 or more in production, 2 or more with zone redundancy.')
@minValue(0)
@maxValue(20)
param alwaysReadyHttp int = 0

@description('Optional. Spread the app over availability zones, where the region has them. Two always-ready instances are then paid for each group of functions.')
param zoneRedundant bool = false

@description('Optional. Copies of the storage: in one place, or in three zones.')
@allowed(['Standard_LRS', 'Standard_ZRS'])
param storageSku string = 'Standard_LRS'

@description('Optional. Reach storage and Key Vault through private endpoints only. The webhook stays public: Graph must reach it.')
param privateEndpoints bool = false

@description('Optional. Origins of the platform\'s frontend, for CORS, besides the booking page.')
param allowedOrigins array = []

@description('Optional. Deploy the booking page as a Static Web App.')
param bookingPage bool = true

@description('Optional. Region of the Static Web App: it exists in few.')
@allowed(['westus2', 'centralus', 'eastus2', 'westeurope', 'eastasia'])
param bookingPageLocation string = 'westeurope'

@description('Optional. Who is told of alerts, by mail. Empty: alerts show in the portal alone.')
param alertEmail string = ''

@description('Optional. How long logs are kept, in days.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

// ----------------------------------------------------------------------------------------- variables

// Stable for the same group, environment and region, so that deploying twice changes nothing.
var resourceToken = take(uniqueString(subscription().id, resourceGroup().id, environmentName, location), 8)
// A vault's name may not have two hyphens in a row.
var suffix = replace('${environmentName}-${resourceToken}', '--', '-')
var compactSuffix = toLower(replace('${environmentName}${resourceToken}', '-', ''))
var allTags = union(tags, { 'azd-env-name': environmentName })

// ----------------------------------------------------------------------------------------- resources

module identity 'modules/identity.bicep' = {
  params: {
    name: 'id-mentorcal-${suffix}'
    location: location
    tags: allTags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    workspaceName: 'log-mentorcal-${suffix}'
    componentName: 'appi-mentorcal-${suffix}'
    location: location
    tags: allTags
    retentionInDays: logRetentionDays
  }
}

module storage 'modules/storage.bicep' = {
  params: {
    name: take('stmc${compactSuffix}', 24)
    location: location
    tags: allTags
    skuName: storageSku
    privateOnly: privateEndpoints
    workspaceId: monitoring.outputs.workspaceId
  }
}

module keyVault 'modules/keyVault.bicep' = {
  params: {
    name: take('kv-mc-${suffix}', 24)
    location: location
    tags: allTags
    privateOnly: privateEndpoints
    workspaceId: monitoring.outputs.workspaceId
  }
}

module network 'modules/network.bicep' = if (privateEndpoints) {
  params: {
    suffix: suffix
    location: location
    tags: allTags
    storageId: storage.outputs.id
    keyVaultId: keyVault.outputs.id
  }
}

// Before the app: it needs its rights at the first start.
module roles 'modules/roles.bicep' = {
  params: {
    principalId: identity.outputs.principalId
    storageName: storage.outputs.name
    keyVaultName: keyVault.outputs.name
    componentName: monitoring.outputs.componentName
    secretsOfficerId: secretsOfficerId
  }
}

module page 'modules/bookingPage.bicep' = if (bookingPage) {
  params: {
    name: 'stapp-mentorcal-${suffix}'
    location: bookingPageLocation
    tags: allTags
  }
}

module functionApp 'modules/functionApp.bicep' = {
  params: {
    planName: 'plan-mentorcal-${suffix}'
    appName: 'func-mentorcal-${suffix}'
    location: location
    tags: allTags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    blobEndpoint: storage.outputs.blobEndpoint
    queueEndpoint: storage.outputs.queueEndpoint
    tableEndpoint: storage.outputs.tableEndpoint
    packageContainerName: storage.outputs.packageContainerName
    keyVaultUri: keyVault.outputs.uri
    componentConnectionString: monitoring.outputs.connectionString
    workspaceId: monitoring.outputs.workspaceId
    subnetId: network.?outputs.?subnetId ?? ''
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    httpConcurrency: httpConcurrency
    alwaysReadyHttp: alwaysReadyHttp
    zoneRedundant: zoneRedundant
    allowedOrigins: union(allowedOrigins, bookingPage ? ['https://${page.?outputs.?hostName ?? ''}'] : [])
    appClientId: appClientId
    appCredential: appCredential
    platformTenantId: platformTenantId
    platformClientIds: platformClientIds
    userClientIds: empty(userClientIds) ? appClientId : '${appClientId},${userClientIds}'
    publicUrl: publicUrl
    limits: limits
    cloud: cloud
    webhookUrl: webhookUrl
    telemetry: telemetry
  }
  dependsOn: [roles]
}

module alerts 'modules/alerts.bicep' = {
  params: {
    suffix: suffix
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    functionAppId: functionApp.outputs.id
    maximumInstanceCount: maximumInstanceCount
    email: alertEmail
  }
}

module workbook 'modules/workbook.bicep' = {
  params: {
    suffix: suffix
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
  }
}

// ------------------------------------------------------------------------------------------- outputs

@description('Name of the function app, for deploying code.')
output functionAppName string = functionApp.outputs.name

@description('Where the API is.')
output apiUrl string = functionApp.outputs.url

@description('Redirect URI that the app registration needs for consent.')
output consentRedirectUri string = '${functionApp.outputs.url}/api/consent/callback'

@description('Tables: the address that scripts.tables saves and restores.')
output tablesUrl string = storage.outputs.tableEndpoint

@description('Object id of the identity: the subject of the federated credential (infra/entra).')
output identityPrincipalId string = identity.outputs.principalId

@description('Name of the Key Vault, for infra/secrets.sh.')
output keyVaultName string = keyVault.outputs.name

@description('Name of the booking page\'s Static Web App; empty without one.')
output bookingPageName string = bookingPage ? page.?outputs.?name ?? '' : ''

@description('Where the booking page is; empty without one.')
output bookingPageUrl string = bookingPage ? 'https://${page.?outputs.?hostName ?? ''}' : ''
