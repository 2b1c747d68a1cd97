metadata description = 'The user-assigned identity the app runs as, and its federated proof towards Entra.'

@description('Required. Name of the identity.')
param name string

@description('Required. Region.')
param location string

@description('Optional. Tags.')
param tags object = {}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Resource id.')
output id string = identity.id

@description('Client id: what the app asks tokens with.')
output clientId string = identity.properties.clientId

@description('Object id: what roles and the federated credential name.')
output principalId string = identity.properties.principalId
