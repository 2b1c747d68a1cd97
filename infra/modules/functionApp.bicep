metadata description = 'The Functions app on the Flex Consumption plan, with its settings.'

@description('Required. Name of the plan.')
param planName string

@description('Required. Name of the app, part of its host name.')
param appName string

@description('Required. Region.')
param location string

@description('Optional. Tags.')
param tags object = {}

@description('Required. Resource id of the identity.')
param identityId string

@description('Required. Client id of the identity.')
param identityClientId string

@description('Required. Blob service, with a slash at the end.')
param blobEndpoint string

@description('Required. Queue service, with a slash at the end.')
param queueEndpoint string

@description('Required. Table service, with a slash at the end.')
param tableEndpoint string

@description('Required. Container of the deployment package.')
param packageContainerName string

@description('Required. Where secrets are read.')
param keyVaultUri string

@description('Required. Where telemetry goes.')
param componentConnectionString string

@description('Required. Workspace for the app\'s logs.')
param workspaceId string

@description('Optional. Subnet for outgoing traffic; empty without a network.')
param subnetId string = ''

@description('Required. Python version.')
param pythonVersion string

@description('Required. Memory of one instance in MB.')
param instanceMemoryMB int

@description('Required. Most instances.')
param maximumInstanceCount int

@description('Required. Requests one instance handles at the same time.')
param httpConcurrency int

@description('Required. HTTP instances that are never cold.')
param alwaysReadyHttp int

@description('Required. Spread over zones.')
param zoneRedundant bool

@description('Required. Origins for CORS.')
param allowedOrigins array

@description('Required. Client id of the app registration.')
param appClientId string

@description('Required. How the app proves itself to Entra.')
param appCredential string

@description('Required. Tenant of the platform.')
param platformTenantId string

@description('Required. Apps that may use Platform.Manage, separated by commas.')
param platformClientIds string

@description('Required. Apps whose users\' tokens count, separated by commas.')
param userClientIds string

@description('Required. Where Graph and browsers reach the app; empty: by its default name.')
param publicUrl string

@description('Required. The Microsoft cloud.')
param cloud string

@description('Required. Where the platform is told of changes; empty: it asks for them.')
param webhookUrl string

@description('Required. What the app sends to Application Insights beside its log lines: logs (nothing) or traces.')
param telemetry string

@description('Required. How much callers may do. What is not named has the default of the code.')
param limits object

var address = empty(publicUrl) ? 'https://${appName}.azurewebsites.net' : publicUrl

// docs/settings.md explains each; a test compares this list with it and with the code.
var settings = {
  AzureWebJobsStorage__blobServiceUri: blobEndpoint
  AzureWebJobsStorage__queueServiceUri: queueEndpoint
  AzureWebJobsStorage__tableServiceUri: tableEndpoint
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  STORAGE__queueServiceUri: queueEndpoint
  STORAGE__credential: 'managedidentity'
  STORAGE__clientId: identityClientId
  STORAGE_TABLES_URL: tableEndpoint
  STORAGE_QUEUES_URL: queueEndpoint
  MANAGED_IDENTITY_CLIENT_ID: identityClientId
  KEY_VAULT_URL: keyVaultUri
  APP_CLIENT_ID: appClientId
  APP_CREDENTIAL: appCredential
  APP_CERTIFICATE_NAME: 'app-certificate'
  APP_SECRET_NAME: 'app-secret'
  PLATFORM_TENANT_ID: platformTenantId
  PLATFORM_CLIENT_IDS: platformClientIds
  USER_CLIENT_IDS: userClientIds
  PUBLIC_URL: address
  CLOUD: cloud
  WEBHOOK_URL: webhookUrl
  TELEMETRY: telemetry
  LIMIT_CHANGES_PER_MINUTE: string(limits.?changesPerMinute ?? '')
  LIMIT_CHANGES_PER_DAY: string(limits.?changesPerDay ?? '')
  LIMIT_UNANSWERED_DATES: string(limits.?unansweredDates ?? '')
  LIMIT_READS_PER_MINUTE: string(limits.?readsPerMinute ?? '')
  LIMIT_ORGANIZATION_CHANGES_PER_MINUTE: string(limits.?organizationChangesPerMinute ?? '')
  LIMIT_ORGANIZATION_CHANGES_PER_DAY: string(limits.?organizationChangesPerDay ?? '')
  LIMIT_ORGANIZATION_READS_PER_MINUTE: string(limits.?organizationReadsPerMinute ?? '')
  APPLICATIONINSIGHTS_CONNECTION_STRING: componentConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  // The exporter would otherwise tell its makers how it does, and take orders from them.
  APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL: 'true'
  APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED: 'true'
  // `/` would answer every scanner with a page of Azure's that looks like a working app.
  AzureWebJobsDisableHomepage: 'true'
  // Unset, a worker has a thousand threads, or after a cold start only as many as cores. All functions are async: few do.
  PYTHON_THREADPOOL_THREAD_COUNT: '8'
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  // checkov:skip=CKV_AZURE_225: by parameter: not every region has zones
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  // checkov:skip=CKV_AZURE_78: Flex Consumption has no FTP, and refuses the property
  // checkov:skip=CKV_AZURE_222: Graph's webhook and browsers come from outside
  // checkov:skip=CKV_AZURE_17: callers are browsers, Graph and a backend: they show tokens
  // checkov:skip=CKV_AZURE_212: this plan scales by itself; alwaysReadyHttp keeps instances
  // checkov:skip=CKV_AZURE_213: this plan has no health check; GET health and the alerts stand for it
  name: appName
  location: location
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled' // Graph's webhook, browsers and the platform come from outside
    clientAffinityEnabled: false
    keyVaultReferenceIdentity: identityId
    // Only at the creation of an app: without it a host name of one's own would need another app. Not in the published types.
    #disable-next-line BCP037
    siteScopedCertificatesEnabled: true
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${blobEndpoint}${packageContainerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: { name: 'python', version: pythonVersion }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyHttp > 0 ? [{ name: 'http', instanceCount: alwaysReadyHttp }] : []
        triggers: { http: { perInstanceConcurrency: httpConcurrency } }
      }
      // Instances are drained in batches: an update loses no notification. Not in the published types.
      #disable-next-line BCP037
      siteUpdateStrategy: { type: 'RollingUpdate' }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      cors: {
        allowedOrigins: allowedOrigins
        supportCredentials: false
      }
      appSettings: [for setting in items(settings): { name: setting.key, value: setting.value }]
    }
  }
}

// Two resources: in a loop over the names the compiler checks neither.
resource ftpPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
}

resource scmPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: app
  properties: {
    workspaceId: workspaceId
    // The host's own lines reach the workspace through Application Insights already.
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

@description('Resource id.')
output id string = app.id

@description('Name of the app.')
output name string = app.name

@description('Where the app is, without a slash at the end.')
output url string = empty(publicUrl) ? 'https://${app.properties.defaultHostName}' : publicUrl
