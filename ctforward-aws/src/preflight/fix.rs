//! Commands and policy statements for people to copy; pure.

use serde_json::{Value, json};

use crate::shell::quote;

/// `aws` with each part one word of a shell.
pub(crate) fn aws(parts: &[&str]) -> String {
    let mut out = String::from("aws");
    for part in parts {
        out.push(' ');
        out.push_str(&quote(part));
    }
    out
}

/// A statement for the policy of the caller.
pub(crate) fn allow(actions: &[&str], resource: &str) -> String {
    let statement = json!({"Effect": "Allow", "Action": actions, "Resource": resource});
    format!("add to the caller's policy: {statement}")
}

/// The partition of a region, as its ARNs write it.
pub(crate) fn partition(region: Option<&str>) -> &'static str {
    match region {
        Some(region) if region.starts_with("cn-") => "aws-cn",
        Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

pub(crate) fn bucket_arn(partition: &str, bucket: &str) -> String {
    if bucket.starts_with("arn:") {
        return bucket.to_owned();
    }
    format!("arn:{partition}:s3:::{bucket}")
}

/// The statement of a queue's policy that lets `service` send for `source` only.
#[cfg_attr(not(feature = "sqs"), allow(dead_code))]
pub(crate) fn may_send(service: &str, queue: &str, source: &str, account: Option<&str>) -> Value {
    let mut condition = json!({"ArnEquals": {"aws:SourceArn": source}});
    if let Some(account) = account {
        condition["StringEquals"] = json!({"aws:SourceAccount": account});
    }
    json!({
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": condition,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_stay_one_word() {
        assert_eq!(
            aws(&["s3api", "list-objects-v2", "--bucket", "a;b"]),
            "aws s3api list-objects-v2 --bucket 'a;b'"
        );
        assert_eq!(
            bucket_arn(partition(Some("cn-north-1")), "b"),
            "arn:aws-cn:s3:::b"
        );
        assert_eq!(partition(None), "aws");
    }
}
