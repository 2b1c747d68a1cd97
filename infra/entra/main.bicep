metadata name = 'Mentor Calendar: app registration'
metadata description = 'The one multi-tenant app registration. Apart from the Azure resources: what-if and stacks do not know Graph resources, and another person may be the one who is allowed to run it. register.sh beside it makes the same registration, and checks its owners, which a template cannot.'

extension microsoftGraphV1

@description('Optional. What admins and users see when they approve.')
param displayName string = 'Mentor Calendar'

@description('Optional. Immutable key of the registration: the same again updates it.')
param uniqueName string = 'mentor-calendar'

@description('Required. Where the API is, without https:// and path: the app\'s host name.')
param apiHost string

@description('Optional. Where signing in returns to (SPA redirect URIs): of the booking page, its signed-in.html and its root.')
param pageUris array = []

@description('Optional. Object id of the app\'s user-assigned identity; empty when it proves itself by certificate or secret.')
param identityPrincipalId string = ''

@description('Optional. Serve organizations in application mode: the app itself may write into calendars.')
param applicationMode bool = false

@description('Optional. All organizations are polled: the app itself reads without bodies, and cannot subscribe.')
param pollOnly bool = false

// register.sh has the same two ids. One that is enabled cannot be replaced by another.
var scopeId = '9d3b8a5e-6f0c-4b1d-8a57-2c1f0e7d4b36'
var platformRoleId = '4e7a1c90-52d8-4f6b-9e03-b8d5a6f1c274'
var graphAppId = '00000003-0000-0000-c000-000000000000'
// docs/permissions.md says which call needs each; a test compares.
var delegated = ['openid', 'profile', 'offline_access', 'User.Read', 'Calendars.ReadWrite']
var reading = pollOnly ? ['Calendars.ReadBasic.All'] : ['Calendars.Read']
var application = concat(reading, ['User.ReadBasic.All'], applicationMode ? ['Calendars.ReadWrite'] : [])
// An application permission is granted as ReadBasic.All, and listed by that name.
var delegatedAccess = map(filter(graph.oauth2PermissionScopes, x => contains(delegated, x.value)), x => { id: x.id, type: 'Scope' })
var applicationAccess = map(filter(graph.appRoles, x => contains(application, x.value)), x => { id: x.id, type: 'Role' })

resource graph 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: graphAppId
}

resource registration 'Microsoft.Graph/applications@v1.0' = {
  displayName: displayName
  uniqueName: uniqueName
  signInAudience: 'AzureADMultipleOrgs'
  web: {
    redirectUris: ['https://${apiHost}/api/consent/callback']
    implicitGrantSettings: {
      enableAccessTokenIssuance: false
      enableIdTokenIssuance: false
    }
  }
  spa: { redirectUris: pageUris }
  api: {
    requestedAccessTokenVersion: 2
    oauth2PermissionScopes: [
      {
        id: scopeId
        value: 'access_as_user'
        type: 'User'
        isEnabled: true
        adminConsentDisplayName: 'Book mentoring sessions for you'
        adminConsentDescription: 'See when people who may meet are free, and book their mentoring sessions in their own name.'
        userConsentDisplayName: 'Book mentoring sessions for you'
        userConsentDescription: 'See when you are free, and book your mentoring sessions in your own name.'
      }
    ]
  }
  // The app's tokens say that no user is in them.
  optionalClaims: { accessToken: [{ name: 'idtyp' }] }
  appRoles: [
    {
      id: platformRoleId
      value: 'Platform.Manage'
      displayName: 'Manage organizations and pairings'
      description: 'For the mentoring platform\'s own backend.'
      allowedMemberTypes: ['Application']
      isEnabled: true
    }
  ]
  // An administrator's sign-in after the consent shows whether they may consent (wids).
  groupMembershipClaims: 'DirectoryRole'
  requiredResourceAccess: [
    {
      resourceAppId: graphAppId
      resourceAccess: concat(delegatedAccess, applicationAccess)
    }
  ]
  // Customers cannot add credentials to their copy of the app.
  servicePrincipalLockConfiguration: {
    isEnabled: true
    allProperties: true
  }

  resource identity 'federatedIdentityCredentials@v1.0' = if (!empty(identityPrincipalId)) {
    name: '${registration.uniqueName}/function-app-identity'
    audiences: ['api://AzureADTokenExchange']
    issuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
    subject: identityPrincipalId
  }
}

// Without the identifier no token for api://CLIENT_ID/access_as_user can be had.
module identifier 'identifier.bicep' = {
  params: {
    displayName: displayName
    uniqueName: uniqueName
    clientId: registration.appId
  }
}

resource servicePrincipal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: registration.appId
}

@description('Client id: APP_CLIENT_ID of the deployment.')
output clientId string = registration.appId

@description('Object id of the enterprise app in the platform\'s tenant.')
output servicePrincipalId string = servicePrincipal.id
