metadata description = 'What an operator sees: a workbook over the lines and metrics in the workspace; docs/operate.md explains its figures.'

@description('Required. Part of every name.')
param suffix string

@description('Required. Region.')
param location string

@description('Optional. Tags.')
param tags object = {}

@description('Required. Workspace that the workbook reads, and in whose gallery it is.')
param workspaceId string

// A workbook's name has to be a GUID: this one stays the same at every deployment.
resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'mentor-calendar', suffix)
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Mentor Calendar ${suffix}'
    category: 'workbook'
    sourceId: workspaceId
    version: 'Notebook/1.0'
    serializedData: replace(loadTextContent('../workbook/workbook.json'), 'WORKSPACE_ID', workspaceId)
  }
}
