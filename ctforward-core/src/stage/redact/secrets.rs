//! The secrets that CloudTrail is known, or feared, to carry.

/// Where CloudTrail records can carry secrets.
///
/// Only the first was met with its value in the real records this was made with
/// (answers of `AssumeRole`); it is of use only together with a secret key, which
/// CloudTrail leaves out. The passwords were met as `****`. Of the rest, AWS writes
/// `HIDDEN_DUE_TO_SECURITY_REASONS`, or leaves them out, where we know of it; they
/// are named in case a service forgets to. Identifiers of access keys are no
/// secrets, and an investigation needs them: they are not in it.
pub(super) const KNOWN: &[&str] = &[
    // STS (AssumeRole and its kin, GetSessionToken, GetFederationToken), Cognito
    // identity pools, S3 Express.
    "responseElements.credentials.sessionToken",
    "responseElements.credentials.secretAccessKey",
    // Roles Anywhere.
    "responseElements.credentialSet.credentials.sessionToken",
    "responseElements.credentialSet.credentials.secretAccessKey",
    // IAM.
    "responseElements.accessKey.secretAccessKey",
    "responseElements.serviceSpecificCredential.servicePassword",
    "requestParameters.password",
    "requestParameters.newPassword",
    "requestParameters.oldPassword",
    // RDS, Redshift, DocumentDB.
    "requestParameters.masterUserPassword",
    "requestParameters.tdeCredentialPassword",
    "responseElements.pendingModifiedValues.masterUserPassword",
    // ElastiCache.
    "requestParameters.authToken",
    // IAM Identity Center, OIDC, Cognito user pools.
    "requestParameters.clientSecret",
    "requestParameters.refreshToken",
    "responseElements.clientSecret",
    "responseElements.accessToken",
    "responseElements.refreshToken",
    "responseElements.idToken",
    "responseElements.authenticationResult.accessToken",
    "responseElements.authenticationResult.refreshToken",
    "responseElements.authenticationResult.idToken",
    // Session Manager, and ECS ExecuteCommand.
    "responseElements.tokenValue",
    "responseElements.session.tokenValue",
    // EC2 key pairs.
    "responseElements.keyMaterial",
    // Secrets Manager and Parameter Store.
    "requestParameters.secretString",
    "requestParameters.secretBinary",
    "requestParameters.value",
];
