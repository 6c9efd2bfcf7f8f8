use super::*;

fn answered(status: u16, code: &str) -> Facts {
    Facts {
        stage: Stage::Answer,
        status: Some(status),
        code: (!code.is_empty()).then(|| code.to_owned()),
        message: Some("words of the service".to_owned()),
        region: None,
        retry_after: None,
    }
}

fn staged(stage: Stage) -> Facts {
    Facts {
        stage,
        ..answered(0, "")
    }
}

#[test]
fn every_answer_has_its_kind_its_advice_and_its_hint() {
    use ErrorKind::{Changed, Config, Other, Throttled, Timeout, Unauthorized, Unavailable};
    let table = [
        (
            answered(400, "AWS.SimpleQueueService.NonExistentQueue"),
            Config,
            false,
            "no such queue",
        ),
        (answered(400, "QueueDoesNotExist"), Config, false, "region"),
        (
            answered(400, "AWS.SimpleQueueService.QueueDeletedRecently"),
            Unavailable,
            true,
            "deleted",
        ),
        (answered(400, "RequestThrottled"), Throttled, true, "slower"),
        (
            answered(400, "ThrottlingException"),
            Throttled,
            true,
            "slower",
        ),
        (answered(400, "KmsThrottled"), Throttled, true, "slower"),
        (answered(503, ""), Throttled, true, "slower"),
        (answered(429, ""), Throttled, true, "slower"),
        (answered(403, "OverLimit"), Throttled, true, "in flight"),
        (
            answered(404, "ReceiptHandleIsInvalid"),
            Changed,
            false,
            "no longer held",
        ),
        (
            answered(400, "AWS.SimpleQueueService.MessageNotInflight"),
            Changed,
            false,
            "no longer held",
        ),
        (
            answered(403, "ExpiredToken"),
            Unauthorized,
            false,
            "log in again",
        ),
        (
            answered(403, "SignatureDoesNotMatch"),
            Unauthorized,
            false,
            "clock",
        ),
        (
            answered(403, "InvalidClientTokenId"),
            Unauthorized,
            false,
            "partition",
        ),
        (
            answered(400, "UnrecognizedClientException"),
            Unauthorized,
            false,
            "access key",
        ),
        (
            answered(400, "KmsAccessDenied"),
            Unauthorized,
            false,
            "kms:Decrypt",
        ),
        (
            answered(400, "KmsDisabled"),
            Unauthorized,
            false,
            "kms:Decrypt",
        ),
        (
            answered(403, "AccessDenied"),
            Unauthorized,
            false,
            "grant sqs:ReceiveMessage",
        ),
        (
            answered(400, "AccessDeniedException"),
            Unauthorized,
            false,
            "grant",
        ),
        (answered(403, ""), Unauthorized, false, "grant"),
        (answered(404, ""), Config, false, "no address of a queue"),
        (answered(302, ""), Config, false, "no address of a queue"),
        (
            answered(404, "InvalidAddress"),
            Config,
            false,
            "no address of a queue",
        ),
        (answered(408, ""), Timeout, true, "gave up"),
        (
            answered(500, "InternalFailure"),
            Unavailable,
            true,
            "the service failed",
        ),
        (answered(502, ""), Unavailable, true, "the service failed"),
        (
            answered(400, "InvalidParameterValue"),
            Config,
            false,
            "refused",
        ),
        (answered(200, ""), Other, true, "nobody expected"),
        (staged(Stage::Timeout), Timeout, true, "no answer in time"),
        (staged(Stage::Dispatch), Unavailable, true, "no connection"),
        (
            staged(Stage::Credentials),
            Unauthorized,
            false,
            "AWS_ACCESS_KEY_ID",
        ),
        (
            staged(Stage::Construction),
            Config,
            false,
            "could not be made",
        ),
        (
            staged(Stage::Unreadable),
            Unavailable,
            true,
            "could not be understood",
        ),
    ];
    for (facts, kind, again, words) in table {
        let error = classify(&facts, Asked::Receive);
        assert_eq!(error.kind(), kind, "{facts:?}");
        assert_eq!(error.is_retryable(), again, "{facts:?}");
        assert!(error.message().contains(words), "{error} lacks {words:?}");
    }
}

#[test]
fn a_denial_names_the_permission_that_is_wanting() {
    for (asked, action) in [
        (Asked::Attributes, "sqs:GetQueueAttributes"),
        (Asked::Receive, "sqs:ReceiveMessage"),
        (Asked::Visibility, "sqs:ChangeMessageVisibility"),
        (Asked::Delete, "sqs:DeleteMessage"),
    ] {
        let error = classify(&answered(403, "AccessDenied"), asked);
        assert!(error.message().contains(action), "{error}");
    }
}

#[test]
fn what_the_service_says_is_escaped() {
    let mut facts = answered(403, "AccessDenied");
    facts.message = Some("a\u{1b}[31mb\nc".to_owned());
    let text = classify(&facts, Asked::Delete).to_string();
    assert!(!text.contains('\u{1b}') && !text.contains('\n'), "{text:?}");
}

#[test]
fn a_batch_entry_is_gone_comes_later_or_is_refused() {
    let handle =
        "Value AQ for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.";
    for (code, ours, message, expected) in [
        ("ReceiptHandleIsInvalid", true, "", Entry::Gone),
        (
            "AWS.SimpleQueueService.MessageNotInflight",
            true,
            "",
            Entry::Gone,
        ),
        ("MessageNotInflight", false, "", Entry::Gone),
        ("InvalidParameterValue", true, handle, Entry::Gone),
        (
            "InvalidParameterValue",
            true,
            "VisibilityTimeout",
            Entry::Refused,
        ),
        ("RequestThrottled", true, "", Entry::Later),
        ("InternalError", false, "", Entry::Later),
        ("Whatever", false, "", Entry::Later),
        ("Whatever", true, "", Entry::Refused),
    ] {
        assert_eq!(
            entry(code, ours, message),
            expected,
            "{code} {ours} {message}"
        );
    }
}
