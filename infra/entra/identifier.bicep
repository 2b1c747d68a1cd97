metadata name = 'Mentor Calendar: identifier of the app registration'
metadata description = 'The identifier holds the client id, which only exists once the registration does: the same resource a second time. Nothing else of it changes.'

extension microsoftGraphV1

@description('Required. What admins and users see when they approve.')
param displayName string

@description('Required. Immutable key of the registration.')
param uniqueName string

@description('Required. Its client id.')
param clientId string

resource registration 'Microsoft.Graph/applications@v1.0' = {
  displayName: displayName
  uniqueName: uniqueName
  identifierUris: ['api://${clientId}']
}
