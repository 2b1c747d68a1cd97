metadata description = 'Alerts over the log lines the app writes; alerts/alerts.json is the table, docs/operate.md what to do.'

@description('Required. Part of every name.')
param suffix string

@description('Required. Region.')
param location string

@description('Optional. Tags.')
param tags object = {}

@description('Required. Workspace the lines are in.')
param workspaceId string

@description('Required. Function app.')
param functionAppId string

@description('Required. Most instances of the app.')
param maximumInstanceCount int

@description('Optional. Who is told by mail.')
param email string = ''

var rules = loadJsonContent('../alerts/alerts.json')
var groupIds = empty(email) ? [] : [group.id]

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'ag-mentorcal-${suffix}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'mentorcal'
    enabled: true
    emailReceivers: [
      {
        name: 'operator'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource queries 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: 'alert-mentorcal-${rule.name}-${suffix}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Mentor Calendar: ${rule.title}'
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: rule.every
      windowSize: rule.over
      // On a new workspace the tables are not there yet.
      skipQueryValidation: true
      autoMitigate: true
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: contains(rule, 'measure') ? 'Maximum' : 'Count'
            metricMeasureColumn: rule.?measure
            operator: rule.operator
            threshold: rule.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: { actionGroups: groupIds }
    }
  }
]

resource capReached 'Microsoft.Insights/metricAlerts@2026-01-01' = {
  name: 'alert-mentorcal-cap-${suffix}'
  location: 'global'
  tags: tags
  properties: {
    description: 'The app runs on as many instances as it may. docs/operate.md#cap-reached'
    severity: 2
    enabled: true
    scopes: [functionAppId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'instances'
          metricName: 'InstanceCount'
          timeAggregation: 'Maximum'
          operator: 'GreaterThanOrEqual'
          threshold: maximumInstanceCount
          skipMetricValidation: true
        }
      ]
    }
    actions: [for id in groupIds: { actionGroupId: id }]
  }
}
