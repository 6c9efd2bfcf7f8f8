use aws_sdk_cloudtrail::types::DataResource;

use super::super::fault::FaultKind;
use super::super::place::tests::fault;
use super::*;

const OBJECTS: &str = "arn:aws:s3:::trail/AWSLogs/";

fn by_values(values: &[&str], kind: ReadWriteType) -> Selectors {
    let resource = DataResource::builder()
        .r#type("AWS::S3::Object")
        .set_values(Some(values.iter().map(|v| (*v).to_owned()).collect()))
        .build();
    Selectors {
        basic: vec![
            EventSelector::builder()
                .read_write_type(kind)
                .data_resources(resource)
                .build(),
        ],
        advanced: Vec::new(),
    }
}

type Field<'a> = (&'a str, &'a str, &'a [&'a str]);

fn by_fields(fields: &[Field<'_>]) -> Selectors {
    let mut all = vec![
        ("eventCategory", "Equals", &["Data"][..]),
        ("resources.type", "Equals", &["AWS::S3::Object"][..]),
    ];
    all.extend_from_slice(fields);
    let mut selector = AdvancedEventSelector::builder();
    for (field, operator, values) in all {
        let values = Some(values.iter().map(|v| (*v).to_owned()).collect());
        let builder = AdvancedFieldSelector::builder().field(field);
        let builder = match operator {
            "Equals" => builder.set_equals(values),
            "StartsWith" => builder.set_starts_with(values),
            "NotStartsWith" => builder.set_not_starts_with(values),
            "NotEquals" => builder.set_not_equals(values),
            other => panic!("{other}"),
        };
        selector = selector.field_selectors(builder.build().unwrap());
    }
    Selectors {
        basic: Vec::new(),
        advanced: vec![selector.build().unwrap()],
    }
}

#[test]
fn basic_selectors_hit_by_what_they_have_in_common() {
    use ReadWriteType as T;
    for (values, kind, expected) in [
        (&["arn:aws:s3"][..], T::All, Records::Yes),
        (&["arn:aws:s3:::"], T::ReadOnly, Records::Yes),
        (&["arn:aws:s3:::trail/"], T::All, Records::Yes),
        (&["arn:aws:s3:::trail/AWSLogs/1/"], T::All, Records::Yes),
        (&["arn:aws:s3:::trail/images/"], T::All, Records::No),
        (&["arn:aws:s3:::trail2/"], T::All, Records::No),
        (&["arn:aws:s3:::trail/"], T::WriteOnly, Records::No),
        (&[], T::All, Records::No),
    ] {
        assert_eq!(
            records(&by_values(values, kind.clone()), OBJECTS),
            expected,
            "{values:?} {kind:?}"
        );
    }
}

#[test]
fn advanced_selectors_hold_all_at_once() {
    for (fields, expected) in [
        (&[][..], Records::Yes),
        (&[("readOnly", "Equals", &["true"][..])], Records::Yes),
        (&[("readOnly", "Equals", &["false"][..])], Records::No),
        (
            &[("resources.ARN", "StartsWith", &["arn:aws:s3:::trail/"][..])],
            Records::Yes,
        ),
        (
            &[("resources.ARN", "StartsWith", &["arn:aws:s3:::other/"][..])],
            Records::No,
        ),
        (
            &[(
                "resources.ARN",
                "NotStartsWith",
                &["arn:aws:s3:::trail/"][..],
            )],
            Records::No,
        ),
        (
            &[(
                "resources.ARN",
                "NotStartsWith",
                &["arn:aws:s3:::other/"][..],
            )],
            Records::Yes,
        ),
        (
            &[("eventName", "Equals", &["PutObject", "DeleteObject"][..])],
            Records::No,
        ),
        (
            &[("eventName", "NotEquals", &["GetObject"][..])],
            Records::No,
        ),
        (&[("eventName", "StartsWith", &["Get"][..])], Records::Yes),
        (
            &[("userIdentity.arn", "NotEquals", &["arn:x"][..])],
            Records::Perhaps,
        ),
    ] {
        assert_eq!(records(&by_fields(fields), OBJECTS), expected, "{fields:?}");
    }
    let management = Selectors {
        basic: Vec::new(),
        advanced: vec![
            AdvancedEventSelector::builder()
                .field_selectors(
                    AdvancedFieldSelector::builder()
                        .field("eventCategory")
                        .equals("Management")
                        .build()
                        .unwrap(),
                )
                .build()
                .unwrap(),
        ],
    };
    assert_eq!(records(&management, OBJECTS), Records::No);
}

fn trail_of(selectors: Result<Selectors, Fault>) -> Trail {
    Trail {
        name: "main\u{1b}".to_owned(),
        bucket: "trail".to_owned(),
        prefix: "logs".to_owned(),
        topic: None,
        selectors,
    }
}

#[test]
fn own_reads_warn_and_what_is_not_permitted_is_unknown() {
    let all = Ok(by_values(&["arn:aws:s3"], ReadWriteType::All));
    let none = Ok(Selectors::default());
    let denied = || Err(fault(FaultKind::Denied));
    let caller = Some("arn:aws:sts::111122223333:assumed-role/reader/session");
    for (trails, outcome, text) in [
        (Ok(vec![trail_of(all.clone())]), Outcome::Warn, "in turn"),
        (
            Ok(vec![trail_of(denied()), trail_of(all.clone())]),
            Outcome::Warn,
            "in turn",
        ),
        (
            Ok(vec![trail_of(none.clone())]),
            Outcome::Pass,
            "none of the 1",
        ),
        (
            Ok(vec![trail_of(none), trail_of(denied())]),
            Outcome::Unknown,
            "cloudtrail:GetEventSelectors",
        ),
        (Ok(vec![]), Outcome::Unknown, "no trail"),
        (
            Err(fault(FaultKind::Denied)),
            Outcome::Unknown,
            "cloudtrail:DescribeTrails",
        ),
    ] {
        let check = own_reads(&trails, OBJECTS, "arn:aws:s3:::trail", caller);
        assert_eq!(check.outcome, outcome, "{check:?}");
        assert!(check.seen.contains(text), "{check:?}");
        assert!(!check.seen.contains('\u{1b}'));
    }
    let fix = own_reads(
        &Ok(vec![trail_of(all)]),
        OBJECTS,
        "arn:aws:s3:::trail",
        caller,
    )
    .fix
    .unwrap();
    assert!(
        fix.contains("--own-calls arn:aws:iam::111122223333:role/reader"),
        "{fix}"
    );
    assert!(fix.contains("arn:aws:s3:::trail/"), "{fix}");
}

#[test]
fn the_trails_prefix_is_compared_with_the_sources() {
    let trails = || Ok(vec![trail_of(Ok(Selectors::default()))]);
    for (bucket, prefix, outcome) in [
        ("trail", "", Outcome::Pass),
        ("trail", "logs/", Outcome::Pass),
        ("trail", "logs/AWSLogs/o-abc/", Outcome::Pass),
        ("trail", "AWSLogs/", Outcome::Warn),
        ("other", "", Outcome::Unknown),
    ] {
        assert_eq!(
            trail(&trails(), bucket, prefix).outcome,
            outcome,
            "{bucket} {prefix}"
        );
    }
    let fix = trail(&trails(), "trail", "AWSLogs/").fix.unwrap();
    assert_eq!(fix, "name the source s3://trail/logs/");
}
