use super::*;

fn answered(status: u16, code: &str, message: &str) -> Facts {
    Facts {
        stage: Stage::Answer,
        status: Some(status),
        code: (!code.is_empty()).then(|| code.to_owned()),
        message: (!message.is_empty()).then(|| message.to_owned()),
        region: None,
        retry_after: None,
    }
}

fn staged(stage: Stage, message: &str) -> Facts {
    Facts {
        stage,
        ..answered(0, "", message)
    }
}

fn read(facts: &Facts) -> Error {
    let object = ObjectId::new("logs", "AWSLogs/k.json.gz");
    classify(facts, Asked::Read { object: &object })
}

#[test]
fn every_answer_has_its_kind_its_advice_and_its_hint() {
    use ErrorKind::{
        Archived, Changed, Config, NotFound, Other, Throttled, Timeout, Unauthorized, Unavailable,
    };
    let never = Retry::Never;
    let backoff = Retry::Backoff;
    let table = [
        (
            answered(404, "NoSuchKey", ""),
            NotFound,
            never,
            "no such object",
        ),
        (
            answered(404, "NoSuchVersion", ""),
            NotFound,
            never,
            "no such object",
        ),
        (
            answered(404, "NoSuchBucket", ""),
            Config,
            never,
            "check its name",
        ),
        (answered(404, "", ""), Config, never, "no such thing"),
        (
            answered(405, "MethodNotAllowed", ""),
            NotFound,
            never,
            "delete marker",
        ),
        (
            answered(403, "AccessDenied", "Access Denied"),
            Unauthorized,
            never,
            "grant s3:GetObject",
        ),
        (answered(403, "", ""), Unauthorized, never, "status 403"),
        (
            answered(
                403,
                "AccessDenied",
                "User: arn:aws:iam::1:user/a is not authorized to perform: kms:Decrypt on the resource",
            ),
            Unauthorized,
            never,
            "grant kms:Decrypt",
        ),
        (
            answered(
                403,
                "AccessDenied",
                "The ciphertext refers to a customer master key that does not exist",
            ),
            Unauthorized,
            never,
            "kms:Decrypt",
        ),
        (
            answered(400, "KMS.DisabledException", "disabled"),
            Unauthorized,
            never,
            "enabled",
        ),
        (
            answered(400, "KMS.ThrottlingException", ""),
            Throttled,
            backoff,
            "slower",
        ),
        (
            answered(403, "InvalidAccessKeyId", ""),
            Unauthorized,
            never,
            "access key",
        ),
        (
            answered(403, "SignatureDoesNotMatch", ""),
            Unauthorized,
            never,
            "secret key",
        ),
        (
            answered(400, "ExpiredToken", ""),
            Unauthorized,
            never,
            "log in again",
        ),
        (
            answered(400, "InvalidToken", ""),
            Unauthorized,
            never,
            "session token",
        ),
        (
            answered(403, "RequestTimeTooSkewed", ""),
            Unauthorized,
            never,
            "clock",
        ),
        (
            answered(403, "InvalidObjectState", ""),
            Archived,
            never,
            "aws s3api restore-object --bucket logs --key AWSLogs/k.json.gz --restore-request Days=7",
        ),
        (
            answered(301, "PermanentRedirect", ""),
            Config,
            never,
            "get-bucket-location --bucket logs",
        ),
        (answered(301, "", ""), Config, never, "not in this region"),
        (
            answered(400, "AuthorizationHeaderMalformed", ""),
            Config,
            never,
            "not in this region",
        ),
        (answered(503, "SlowDown", ""), Throttled, backoff, "slower"),
        (answered(503, "", ""), Throttled, backoff, "status 503"),
        (answered(429, "", ""), Throttled, backoff, "slower"),
        (
            answered(500, "InternalError", ""),
            Unavailable,
            backoff,
            "InternalError",
        ),
        (
            answered(502, "", "bad gateway"),
            Unavailable,
            backoff,
            "bad gateway",
        ),
        (
            answered(409, "OperationAborted", ""),
            Unavailable,
            backoff,
            "failed",
        ),
        (
            answered(400, "RequestTimeout", ""),
            Timeout,
            backoff,
            "gave up",
        ),
        (answered(408, "", ""), Timeout, backoff, "gave up"),
        (
            answered(412, "PreconditionFailed", ""),
            Changed,
            never,
            "changed",
        ),
        (answered(416, "InvalidRange", ""), Changed, never, "shorter"),
        (
            answered(400, "InvalidBucketName", ""),
            Config,
            never,
            "no name",
        ),
        (
            answered(400, "InvalidArgument", "x"),
            Config,
            never,
            "InvalidArgument: x",
        ),
        (
            answered(200, "", ""),
            Unavailable,
            backoff,
            "not be understood (status 200)",
        ),
        (answered(600, "", ""), Other, backoff, "nobody expected"),
        (
            staged(Stage::Timeout, ""),
            Timeout,
            backoff,
            "no answer in time",
        ),
        (
            staged(Stage::Dispatch, "Connection refused"),
            Unavailable,
            backoff,
            "Connection refused",
        ),
        (
            staged(Stage::Credentials, ""),
            Unauthorized,
            never,
            "no AWS credentials",
        ),
        (
            staged(Stage::Construction, "bad"),
            Config,
            never,
            "could not be made",
        ),
        (
            staged(Stage::Unreadable, "eof"),
            Unavailable,
            backoff,
            "not be understood",
        ),
    ];
    for (facts, kind, retry, words) in table {
        let error = read(&facts);
        assert_eq!(error.kind(), kind, "{facts:?}");
        assert_eq!(error.retry(), retry, "{facts:?}");
        assert_eq!(error.origin(), "s3");
        assert!(error.message().contains(words), "{error} lacks {words:?}");
    }
}

#[test]
fn a_listing_asks_for_the_permission_to_list() {
    let facts = answered(403, "AccessDenied", "Access Denied");
    let error = classify(&facts, Asked::List { bucket: "logs" });
    assert!(error.message().contains("s3:ListBucket"), "{error}");
    assert!(
        error.message().starts_with("listing s3://logs: "),
        "{error}"
    );
}

#[test]
fn the_region_is_named_when_the_answer_names_it_and_only_if_it_is_one() {
    let mut facts = answered(301, "PermanentRedirect", "");
    facts.region = Some("eu-central-1".to_owned());
    assert!(read(&facts).message().contains("lies in eu-central-1;"));
    facts.region = Some("x\u{1b}[2J".to_owned());
    assert!(!read(&facts).message().contains("u{1b}"));
}

#[test]
fn a_pace_asked_for_is_kept_and_capped() {
    let mut facts = answered(503, "SlowDown", "");
    facts.retry_after = Some(7);
    assert_eq!(read(&facts).retry(), Retry::After(Duration::from_secs(7)));
    facts.retry_after = Some(u64::MAX);
    assert_eq!(
        read(&facts).retry(),
        Retry::After(Duration::from_secs(3600))
    );
}

#[test]
fn text_from_outside_neither_steers_nor_leaks() {
    let facts = answered(
        400,
        "Odd\u{1b}[2J",
        "see https://u:pw@host/p?X-Amz-Signature=abc#f \u{202e} and\nmore",
    );
    let error = read(&facts);
    let text = format!("{error} {error:?}");
    for secret in ["X-Amz-Signature", "abc", "pw@", "\u{1b}", "\u{202e}", "\n"] {
        assert!(!text.contains(secret), "{text} has {secret:?}");
    }
    assert!(text.contains("https://host/p"), "{text}");
    let long = read(&answered(400, "X", &"y".repeat(10_000)));
    assert!(long.message().len() < 600);
}
