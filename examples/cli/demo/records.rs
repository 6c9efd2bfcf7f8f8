//! Made-up CloudTrail records, in the form AWS writes them.
//!
//! They are put together as text, not through a JSON library, because what this
//! project keeps is just what a library would lose: the order of keys, `1624.0`,
//! `\u00fc`, integers beyond 2^53.

use super::random::Random;
use super::shape::{Place, Shape, object, quoted};

/// Invented people; the first one's name is written with an escape in records.
const USERS: [&str; 4] = ["j.m\\u00fcller", "mary", "deploy-bot", "田中"];
const ROLES: [&str; 4] = ["Audit", "Deploy", "ReadOnly", "BackupRole"];
/// The last one is an attacker's: who made the request chose this text.
const AGENTS: [&str; 4] = [
    "aws-cli/2.31.0 md/awscrt#0.27.6 ua/2.1 os/linux#6.8 lang/python#3.13.7",
    "aws-sdk-rust/1.3.9 os/linux lang/rust/1.94.1",
    "Boto3/1.40.1 md/Botocore#1.40.1 Python/3.13.7",
    "\\u001b[31m\\u001b]0;owned\\u0007 curl/8.5\\u202e",
];

/// A record of any kind that files of kind `CloudTrail` hold.
pub fn event(place: Place<'_>, random: &mut Random) -> String {
    let shape = match random.below(100) {
        0..4 => console_login(place, random),
        4..20 => assume_role(place, random),
        20..60 => s3_data_event(place, random),
        60..90 => describe(place, random),
        _ => change(place, random),
    };
    shape.write(place, random)
}

fn user(account: &str, random: &mut Random) -> String {
    let name = random.pick(&USERS);
    object(&[
        ("type", "\"IAMUser\""),
        ("principalId", "\"AIDAEXAMPLEEXAMPLE01\""),
        ("arn", &format!("\"arn:aws:iam::{account}:user/{name}\"")),
        ("accountId", &quoted(account)),
        ("userName", &quoted(name)),
    ])
}

fn role(place: Place<'_>, random: &mut Random) -> String {
    let (name, account) = (random.pick(&ROLES), quoted(place.account));
    let arn = format!(
        "\"arn:aws:sts::{}:assumed-role/{name}/session\"",
        place.account
    );
    let issuer = object(&[
        ("type", "\"Role\""),
        ("principalId", "\"AROAEXAMPLEEXAMPLE01\""),
        (
            "arn",
            &format!("\"arn:aws:iam::{}:role/{name}\"", place.account),
        ),
        ("accountId", &account),
        ("userName", &quoted(name)),
    ]);
    object(&[
        ("type", "\"AssumedRole\""),
        ("principalId", "\"AROAEXAMPLEEXAMPLE01:session\""),
        ("arn", &arn),
        ("accountId", &account),
        ("sessionContext", &object(&[("sessionIssuer", &issuer)])),
    ])
}

fn console_login<'p>(place: Place<'p>, random: &mut Random) -> Shape<'p> {
    let failed = random.below(5) == 0;
    let result = if failed {
        "{\"ConsoleLogin\":\"Failure\"}"
    } else {
        "{\"ConsoleLogin\":\"Success\"}"
    };
    Shape {
        version: "1.08",
        identity: user(place.account, random),
        source: "signin.amazonaws.com",
        name: "ConsoleLogin",
        region: place.region,
        agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
        error: None,
        request: "null".to_owned(),
        response: result.to_owned(),
        additional: Some("{\"LoginTo\":\"https://console.aws.amazon.com/console/home\",\"MobileVersion\":\"No\",\"MFAUsed\":\"Yes\"}".to_owned()),
        resources: None,
        read_only: false,
        event_type: "AwsConsoleSignIn",
        category: "Management",
    }
}

fn assume_role<'p>(place: Place<'p>, random: &mut Random) -> Shape<'p> {
    let arn = format!(
        "arn:aws:iam::{}:role/{}",
        place.account,
        random.pick(&ROLES)
    );
    let request = object(&[
        ("roleArn", &quoted(&arn)),
        ("roleSessionName", "\"session\""),
        ("durationSeconds", "3600"),
    ]);
    let resource = object(&[
        ("accountId", &quoted(place.account)),
        ("type", "\"AWS::IAM::Role\""),
        ("ARN", &quoted(&arn)),
    ]);
    Shape {
        version: "1.08",
        identity: "{\"type\":\"AWSService\",\"invokedBy\":\"lambda.amazonaws.com\"}".to_owned(),
        source: "sts.amazonaws.com",
        name: "AssumeRole",
        region: place.region,
        agent: "lambda.amazonaws.com".to_owned(),
        error: None,
        request,
        response: "{\"credentials\":{\"accessKeyId\":\"ASIAEXAMPLEEXAMPLE01\",\"expiration\":\"Jan 1, 2026, 1:00:00 AM\"}}".to_owned(),
        additional: None,
        resources: Some(format!("[{resource}]")),
        read_only: true,
        event_type: "AwsApiCall",
        category: "Management",
    }
}

fn s3_data_event<'p>(place: Place<'p>, random: &mut Random) -> Shape<'p> {
    let reads = random.below(3) > 0;
    let bucket = "example-reports";
    let request = object(&[
        ("bucketName", &quoted(bucket)),
        (
            "Host",
            &format!("\"{bucket}.s3.{}.amazonaws.com\"", place.region),
        ),
        ("key", &format!("\"2026/報告 {}.pdf\"", random.below(500))),
    ]);
    let moved = format!("{}.0", random.below(90_000_000));
    let additional = object(&[
        ("SignatureVersion", "\"SigV4\""),
        ("CipherSuite", "\"TLS_AES_128_GCM_SHA256\""),
        ("bytesTransferredIn", if reads { "0.0" } else { &moved }),
        ("bytesTransferredOut", if reads { &moved } else { "0.0" }),
    ]);
    let resources = format!(
        "[{{\"type\":\"AWS::S3::Object\",\"ARNPrefix\":\"arn:aws:s3:::{bucket}/\"}},{{\"accountId\":\"{}\",\"type\":\"AWS::S3::Bucket\",\"ARN\":\"arn:aws:s3:::{bucket}\"}}]",
        place.account
    );
    Shape {
        version: "1.11",
        identity: role(place, random),
        source: "s3.amazonaws.com",
        name: if reads { "GetObject" } else { "PutObject" },
        region: place.region,
        agent: format!("[{}]", random.pick(&AGENTS)),
        error: (random.below(25) == 0).then_some("AccessDenied"),
        request,
        response: "null".to_owned(),
        additional: Some(additional),
        resources: Some(resources),
        read_only: reads,
        event_type: "AwsApiCall",
        category: "Data",
    }
}

fn describe<'p>(place: Place<'p>, random: &mut Random) -> Shape<'p> {
    let (source, name) = random.pick(&[
        ("ec2.amazonaws.com", "DescribeInstances"),
        ("kms.amazonaws.com", "Decrypt"),
        ("iam.amazonaws.com", "ListUsers"),
        ("logs.amazonaws.com", "DescribeLogGroups"),
    ]);
    Shape {
        version: "1.10",
        identity: role(place, random),
        source,
        name,
        region: place.region,
        agent: (*random.pick(&AGENTS)).to_owned(),
        error: (random.below(40) == 0).then_some("ThrottlingException"),
        // Beyond 2^53: a reader that takes numbers for floats changes it.
        request: format!(
            "{{\"maxResults\":1000,\"marker\":90071992547409{}}}",
            93 + random.below(7)
        ),
        response: "null".to_owned(),
        additional: None,
        resources: None,
        read_only: true,
        event_type: "AwsApiCall",
        category: "Management",
    }
}

fn change<'p>(place: Place<'p>, random: &mut Random) -> Shape<'p> {
    let (source, name) = random.pick(&[
        ("iam.amazonaws.com", "CreateAccessKey"),
        ("ec2.amazonaws.com", "AuthorizeSecurityGroupIngress"),
        ("cloudtrail.amazonaws.com", "StopLogging"),
        ("ec2.amazonaws.com", "RunInstances"),
    ]);
    Shape {
        version: "1.09",
        identity: user(place.account, random),
        source,
        name,
        region: place.region,
        agent: (*random.pick(&AGENTS)).to_owned(),
        error: (random.below(4) == 0).then_some("Client.UnauthorizedOperation"),
        request: format!("{{\"description\":\"ticket {}\"}}", random.below(9000)),
        response: "{\"_return\":true}".to_owned(),
        additional: None,
        resources: None,
        read_only: false,
        event_type: "AwsApiCall",
        category: "Management",
    }
}

/// The start and the end of an unusual rate of calls, as Insight files hold them.
pub fn insight(place: Place<'_>, random: &mut Random) -> [String; 2] {
    let shared = random.uuid();
    ["Start", "End"].map(|state| {
        let details = object(&[
            ("state", &quoted(state)),
            ("eventSource", "\"ec2.amazonaws.com\""),
            ("eventName", "\"RunInstances\""),
            ("insightType", "\"ApiCallRateInsight\""),
            (
                "insightContext",
                "{\"statistics\":{\"baseline\":{\"average\":0.0020833333},\"insight\":{\"average\":14.0},\"insightDuration\":1,\"baselineDuration\":10079}}",
            ),
        ]);
        object(&[
            ("eventVersion", "\"1.09\""),
            ("eventTime", &quoted(&place.time.to_string())),
            ("awsRegion", &quoted(place.region)),
            ("eventID", &quoted(&random.uuid())),
            ("eventType", "\"AwsCloudTrailInsight\""),
            ("recipientAccountId", &quoted(place.account)),
            ("sharedEventID", &quoted(&shared)),
            ("insightDetails", &details),
            ("eventCategory", "\"Insight\""),
        ])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctforward_core::event::RecordBuf;

    #[test]
    fn every_record_is_one_and_reads_as_what_it_should_be() {
        let mut random = Random::new(1);
        let place = Place {
            account: "111122223333",
            region: "ap-northeast-1",
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
        };
        let mut records: Vec<String> = (0..500).map(|_| event(place, &mut random)).collect();
        records.extend(insight(place, &mut random));
        for text in &records {
            let record = RecordBuf::parse(text.clone()).unwrap();
            let header = record.as_record().header();
            assert_eq!(header.event_time(), Some(place.time), "{text}");
            assert_eq!(
                header.account_id().as_deref(),
                Some("111122223333"),
                "{text}"
            );
            assert_eq!(header.event_id().unwrap().len(), 36);
            assert!(header.event_version().is_some() && header.event_category().is_some());
            assert!(!text.contains('\n'), "no line break outside of an escape");
        }
        for kept in ["\\u00fc", "田中", ".0,", "9007199254740993", "\\u001b"] {
            assert!(records.iter().any(|record| record.contains(kept)), "{kept}");
        }
    }
}
