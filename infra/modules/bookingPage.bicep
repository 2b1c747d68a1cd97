metadata description = 'The booking page as a Static Web App. Not linked to the app: linking would lock Graph out.'

@description('Required. Name of the Static Web App.')
param name string

@description('Required. Region; content is global.')
param location string

@description('Optional. Tags.')
param tags object = {}

resource page 'Microsoft.Web/staticSites@2025-03-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'web' })
  sku: { name: 'Free', tier: 'Free' }
  properties: {
    allowConfigFileUpdates: true
    stagingEnvironmentPolicy: 'Disabled'
  }
}

@description('Its name.')
output name string = page.name

@description('Host name of the page.')
output hostName string = page.properties.defaultHostname
