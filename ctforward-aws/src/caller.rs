//! What any AWS service answers to a caller it does not know, and to one that asks too
//! often: the same codes everywhere, so that no adapter forgets one of them; pure.

/// Why the caller is nobody to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nobody {
    /// This machine's clock is too far off.
    Clock,
    /// The signature does not fit, for the secret key's sake or the clock's.
    Signature,
    /// The credentials were good once.
    Expired,
    /// The session token is none.
    Token,
    /// The access key is none.
    Key,
    /// The account has not turned the region or the service on.
    Closed,
}

impl Nobody {
    /// By the code of an answer, without a service's prefix.
    pub(crate) fn of(code: &str) -> Option<Self> {
        Some(match code {
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Self::Clock,
            "SignatureDoesNotMatch" | "InvalidSignatureException" | "InvalidSignature" => {
                Self::Signature
            }
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Self::Expired,
            "InvalidToken" => Self::Token,
            "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "AuthFailure" => Self::Key,
            "NotSignedUp" | "OptInRequired" => Self::Closed,
            _ => return None,
        })
    }

    /// What it means, and what to do.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Clock => "the clock of this machine is off; set it",
            Self::Signature => {
                "the signature was refused: check the clock of this machine and the secret key"
            }
            Self::Expired => "the credentials expired; log in again",
            Self::Token => "the session token was refused; log in again",
            Self::Key => {
                "the access key is not known to this endpoint; check which credentials and which \
                 partition are used"
            }
            Self::Closed => {
                "the region or the service is not enabled for the account; enable it there, or \
                 check which region is meant"
            }
        }
    }
}

/// Whether an answer asks for a slower pace, by its code and status.
pub(crate) fn slow(code: &str, status: u16) -> bool {
    matches!(status, 429 | 503)
        || matches!(
            code,
            "SlowDown"
                | "Throttling"
                | "ThrottlingException"
                | "ThrottledException"
                | "RequestThrottled"
                | "RequestThrottledException"
                | "RequestLimitExceeded"
                | "ProvisionedThroughputExceededException"
                | "TooManyRequests"
                | "TooManyRequestsException"
                | "BandwidthLimitExceeded"
                | "KMS.ThrottlingException"
                | "KmsThrottled"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_of_one_sort_only() {
        for (code, nobody) in [
            ("RequestTimeTooSkewed", Nobody::Clock),
            ("InvalidSignatureException", Nobody::Signature),
            ("ExpiredTokenException", Nobody::Expired),
            ("InvalidToken", Nobody::Token),
            ("UnrecognizedClientException", Nobody::Key),
            ("AuthFailure", Nobody::Key),
            ("OptInRequired", Nobody::Closed),
            ("NotSignedUp", Nobody::Closed),
        ] {
            assert_eq!(Nobody::of(code), Some(nobody), "{code}");
            assert!(!slow(code, 400), "{code}");
        }
        for code in ["SlowDown", "KMS.ThrottlingException", "RequestThrottled"] {
            assert!(slow(code, 400) && Nobody::of(code).is_none(), "{code}");
        }
        // The key is as good as any in another region.
        let closed = Nobody::Closed.why();
        assert!(closed.contains("not enabled") && !closed.contains("key"));
        // A denial is somebody's.
        for code in ["", "AccessDenied", "AccessDeniedException", "NoSuchKey"] {
            assert!(Nobody::of(code).is_none() && !slow(code, 403), "{code}");
        }
        assert!(slow("", 429) && slow("", 503) && !slow("", 500));
    }
}
