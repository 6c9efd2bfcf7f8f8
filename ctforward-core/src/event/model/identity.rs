//! Who made a request:
//! [the userIdentity element](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html).

use super::lenient::{Json, model, open_text};

open_text! {
    /// `userIdentity.type`: what kind of identity it is.
    pub struct IdentityType {
        /// The account's root user.
        ROOT = "Root",
        /// An IAM user.
        IAM_USER = "IAMUser",
        /// A session of a role.
        ASSUMED_ROLE = "AssumedRole",
        /// A role with session credentials of its own.
        ROLE = "Role",
        /// A session of `GetFederationToken`.
        FEDERATED_USER = "FederatedUser",
        /// A directory's user.
        DIRECTORY = "Directory",
        /// Another account.
        AWS_ACCOUNT = "AWSAccount",
        /// An account of an AWS service.
        AWS_SERVICE = "AWSService",
        /// A user of IAM Identity Center.
        IDENTITY_CENTER_USER = "IdentityCenterUser",
        /// A user known by a SAML assertion.
        SAML_USER = "SAMLUser",
        /// A user known by a web identity provider.
        WEB_IDENTITY_USER = "WebIdentityUser",
        /// AWS could not tell.
        UNKNOWN = "Unknown",
    }
}

model! {
    /// `userIdentity`: who made the request, and with which credentials.
    pub struct UserIdentity {
        /// `type`; an open list.
        kind: IdentityType = "type",
        /// `principalId`: unique; for a session, role id and session name joined by `:`.
        principal_id: String = "principalId",
        /// `arn` of the principal.
        arn: String = "arn",
        /// `accountId` of the account that owns the principal, 12 digits.
        account_id: String = "accountId",
        /// `accessKeyId`; may be empty.
        access_key_id: String = "accessKeyId",
        /// `userName`: the friendly name.
        user_name: String = "userName",
        /// `sessionContext`: there if temporary credentials were used.
        session_context: Box<SessionContext> = "sessionContext",
        /// `invokedBy`: the service that made the request for the identity, as a host name.
        invoked_by: String = "invokedBy",
        /// `invokedByDelegate`: the partner that acted by delegated access.
        invoked_by_delegate: InvokedByDelegate = "invokedByDelegate",
        /// `identityProvider`: the provider's principal, for SAML and web identities.
        identity_provider: String = "identityProvider",
        /// `credentialId`: of an IAM Identity Center token.
        credential_id: String = "credentialId",
        /// `onBehalfOf`: the IAM Identity Center user for whom the request was made.
        on_behalf_of: OnBehalfOf = "onBehalfOf",
        /// `inScopeOf`: the service or resource the credentials were issued to.
        in_scope_of: InScopeOf = "inScopeOf",
    }
}

model! {
    /// `userIdentity.sessionContext`: how temporary credentials came about.
    pub struct SessionContext {
        /// `sessionIssuer`: who issued them.
        session_issuer: SessionIssuer = "sessionIssuer",
        /// `webIdFederationData`: there for web identity federation.
        web_id_federation_data: WebIdFederationData = "webIdFederationData",
        /// `attributes` of the session.
        attributes: SessionAttributes = "attributes",
        /// `sourceIdentity`: the original user, set when a role was assumed.
        source_identity: String = "sourceIdentity",
        /// `ec2RoleDelivery`: `1.0` or `2.0`, the version of EC2's metadata service.
        ec2_role_delivery: String = "ec2RoleDelivery",
        /// `ec2IssuedInVpc`: the VPC in which EC2 issued the credentials.
        ec2_issued_in_vpc: String = "ec2IssuedInVpc",
        /// `assumedRoot`: `true` for a session of `AssumeRoot`.
        assumed_root: bool = "assumedRoot",
    }
}

model! {
    /// `sessionContext.attributes`.
    pub struct SessionAttributes {
        /// `creationDate`: when the credentials were issued, ISO 8601 in UTC.
        creation_date: String = "creationDate",
        /// `mfaAuthenticated`: `"true"` or `"false"`, written as a text.
        mfa_authenticated: String = "mfaAuthenticated",
        /// `sessionCredentialFromConsole`: `"true"`, written as a text.
        session_credential_from_console: String = "sessionCredentialFromConsole",
    }
}

model! {
    /// `sessionContext.sessionIssuer`: may be empty.
    pub struct SessionIssuer {
        /// `type`, such as `Role`.
        kind: IdentityType = "type",
        /// `principalId` of what issued the credentials.
        principal_id: String = "principalId",
        /// `arn` of it.
        arn: String = "arn",
        /// `accountId` of it.
        account_id: String = "accountId",
        /// `userName`: its friendly name.
        user_name: String = "userName",
    }
}

model! {
    /// `sessionContext.webIdFederationData`: may be empty.
    pub struct WebIdFederationData {
        /// `federatedProvider`: the provider's name.
        federated_provider: String = "federatedProvider",
        /// `attributes`: what the provider said; an open object.
        attributes: Json = "attributes",
    }
}

model! {
    /// `userIdentity.onBehalfOf`.
    pub struct OnBehalfOf {
        /// `userId` in IAM Identity Center.
        user_id: String = "userId",
        /// `identityStoreArn`: the store that knows the user.
        identity_store_arn: String = "identityStoreArn",
    }
}

model! {
    /// `userIdentity.inScopeOf`.
    pub struct InScopeOf {
        /// `sourceArn`: the resource that called.
        source_arn: String = "sourceArn",
        /// `sourceAccount`: its account.
        source_account: String = "sourceAccount",
        /// `issuerType`: the type of what the credentials were issued to, such as `AWS::Lambda::Function`.
        issuer_type: String = "issuerType",
        /// `credentialsIssuedTo`: the resource they were issued to.
        credentials_issued_to: String = "credentialsIssuedTo",
    }
}

model! {
    /// `userIdentity.invokedByDelegate`.
    pub struct InvokedByDelegate {
        /// `accountId` of the delegate.
        account_id: String = "accountId",
    }
}
