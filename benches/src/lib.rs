//! Input for the benchmarks: log files as CloudTrail writes them, made from a seed.

use std::fmt::Write as _;

/// A small generator of numbers: the same sequence for the same seed, everywhere.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// A sequence that begins at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (splitmix64).
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        let index = usize::try_from(self.roll() % items.len() as u64).unwrap_or(0);
        items.get(index).copied().unwrap_or_default()
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.roll(), self.roll());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }

    fn token(&mut self, length: usize) -> String {
        let mut token = String::new();
        while token.len() < length {
            let _ = write!(token, "{:016X}", self.roll());
        }
        token.truncate(length);
        token
    }
}

/// Appends one record of about 1.6 KB, as an assumed role's API call has it.
pub fn record(dice: &mut Dice, out: &mut String) {
    let calls = [
        ("s3.amazonaws.com", "GetObject"),
        ("sts.amazonaws.com", "AssumeRole"),
        ("ec2.amazonaws.com", "DescribeInstances"),
        ("kms.amazonaws.com", "Decrypt"),
        ("dynamodb.amazonaws.com", "PutItem"),
        ("logs.amazonaws.com", "CreateLogStream"),
    ];
    let (source, name) = calls[usize::try_from(dice.roll() % 6).unwrap_or(0)];
    let region = dice.pick(&["us-east-1", "eu-west-1", "ap-northeast-1", "us-west-2"]);
    let role = dice.pick(&[
        "deploy",
        "ingest-worker",
        "OrganizationAccountAccessRole",
        "ci",
    ]);
    let agent = dice.pick(&[
        "aws-sdk-java/2.20.43 Linux/5.10.179 OpenJDK_64-Bit_Server_VM/17.0.7 vendor/Amazon.com",
        "Boto3/1.26.165 Python/3.9.16 Linux/5.10.179-168.710 exec-env/AWS_Lambda_python3.9 Botocore/1.29.165",
        "[AWSConfig]",
    ]);
    let (day, hour, minute, second) = (
        dice.roll() % 28 + 1,
        dice.roll() % 24,
        dice.roll() % 60,
        dice.roll() % 60,
    );
    // One record in a thousand has a time that a filter can single out.
    let year = if dice.roll().is_multiple_of(1000) {
        2027
    } else {
        2026
    };
    let time = format!("{year}-03-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    let key_id = dice.token(16);
    let (request, event, vpce) = (dice.uuid(), dice.uuid(), dice.token(17).to_lowercase());
    let (object, rows) = (dice.token(40), dice.roll() % 3);
    let _ = write!(
        out,
        "{{\"eventVersion\":\"1.09\",\"userIdentity\":{{\"type\":\"AssumedRole\",\"principalId\":\"AROA{key_id}:i-0{vpce}\",\"arn\":\"arn:aws:sts::111122223333:assumed-role/{role}/i-0{vpce}\",\"accountId\":\"111122223333\",\"accessKeyId\":\"ASIA{key_id}\",\"sessionContext\":{{\"sessionIssuer\":{{\"type\":\"Role\",\"principalId\":\"AROA{key_id}\",\"arn\":\"arn:aws:iam::111122223333:role/{role}\",\"accountId\":\"111122223333\",\"userName\":\"{role}\"}},\"attributes\":{{\"creationDate\":\"{time}\",\"mfaAuthenticated\":\"false\"}},\"ec2RoleDelivery\":\"2.0\"}}}},\"eventTime\":\"{time}\",\"eventSource\":\"{source}\",\"eventName\":\"{name}\",\"awsRegion\":\"{region}\",\"sourceIPAddress\":\"10.{}.{}.{}\",\"userAgent\":\"{agent}\",\"requestParameters\":{{\"bucketName\":\"example-data-{region}\",\"key\":\"raw/{object}.parquet\",\"filters\":[",
        day, hour, minute
    );
    for row in 0..rows {
        let _ = write!(
            out,
            "{}{{\"name\":\"tag:Owner\",\"values\":[\"{}\",\"team \\\"{row}\\\"\"]}}",
            if row > 0 { "," } else { "" },
            dice.token(12)
        );
    }
    let _ = write!(
        out,
        "]}},\"responseElements\":null,\"additionalEventData\":{{\"SignatureVersion\":\"SigV4\",\"CipherSuite\":\"TLS_AES_128_GCM_SHA256\",\"bytesTransferredIn\":0,\"AuthenticationMethod\":\"AuthHeader\",\"bytesTransferredOut\":{}}},\"requestID\":\"{request}\",\"eventID\":\"{event}\",\"readOnly\":true,\"resources\":[{{\"type\":\"AWS::S3::Object\",\"ARN\":\"arn:aws:s3:::example-data-{region}/raw/{object}.parquet\"}},{{\"accountId\":\"111122223333\",\"type\":\"AWS::S3::Bucket\",\"ARN\":\"arn:aws:s3:::example-data-{region}\"}}],\"eventType\":\"AwsApiCall\",\"managementEvent\":false,\"recipientAccountId\":\"111122223333\",\"eventCategory\":\"Data\",\"tlsDetails\":{{\"tlsVersion\":\"TLSv1.3\",\"cipherSuite\":\"TLS_AES_128_GCM_SHA256\"}}}}",
        dice.roll() % 1_000_000
    );
}

/// A log file of at least `bytes` inflated bytes.
#[must_use]
pub fn log_file(seed: u64, bytes: usize) -> String {
    let mut dice = Dice::new(seed);
    let mut out = String::with_capacity(bytes + 4096);
    out.push_str("{\"Records\":[");
    loop {
        record(&mut dice, &mut out);
        if out.len() >= bytes {
            break;
        }
        out.push(',');
    }
    out.push_str("]}");
    out
}
