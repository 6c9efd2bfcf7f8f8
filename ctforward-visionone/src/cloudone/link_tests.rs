use super::*;
use proptest::prelude::*;

const LINK: &str = "https://console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/quickcreate?templateUrl=https%3A%2F%2Fbucket.s3.amazonaws.com%2Ft.json&stackName=CTrl&param_S3BucketKey=k&param_S3BucketName=b&param_ServiceToken=s3cr3t+a%2Fb%3D%3D&param_ServiceURL=https%3A%2F%2Fcloudtrail.us-1.cloudone.trendmicro.com&param_APIVersion=v1";

#[test]
fn a_link_says_template_stack_region_and_parameters() {
    let link = StackLink::parse(LINK).unwrap();
    assert_eq!(
        link.template_url(),
        "https://bucket.s3.amazonaws.com/t.json"
    );
    assert_eq!(
        (link.stack_name(), link.region()),
        (Some("CTrl"), Some("us-east-1"))
    );
    let parameters = link.parameters();
    assert_eq!(
        parameters.get("ServiceToken"),
        Some("s3cr3t+a/b=="),
        "a + is a +"
    );
    assert_eq!(parameters.get("APIVersion"), Some("v1"));
    assert_eq!(parameters.expose().count(), 5);
    assert_eq!(link.url().expose(), LINK);
    let shown: Vec<_> = parameters.shown().collect();
    assert_eq!(shown[2], ("ServiceToken", "[secret]".to_owned()));
    assert_eq!(
        shown[3].1,
        "https://cloudtrail.us-1.cloudone.trendmicro.com"
    );
    let said = format!("{link:?} {link:#?} {shown:?} {}", link.url());
    assert!(!said.contains("s3cr3t") && said.contains("CTrl"), "{said}");
}

#[test]
fn the_region_is_found_wherever_it_stands() {
    let of = |text: &str| StackLink::parse(text).unwrap().region().map(str::to_owned);
    let tail = "templateUrl=https://b.s3.amazonaws.com/t&param_A=1";
    for (link, region) in [
        (
            format!("https://eu-west-2.console.aws.amazon.com/c/home#/s?{tail}"),
            Some("eu-west-2"),
        ),
        (
            format!(
                "https://console.aws.amazon.com/c/home#/s?region=jp-x&{tail}&region=ap-south-1"
            ),
            Some("ap-south-1"),
        ),
        (
            format!("https://console.amazonaws-us-gov.com/c?region=us-gov-east-1#/s?{tail}"),
            Some("us-gov-east-1"),
        ),
        (
            format!("https://console.aws.amazon.com/c?region=x.evil#/s?{tail}"),
            None,
        ),
    ] {
        assert_eq!(of(&link).as_deref(), region, "{link}");
    }
}

#[test]
fn a_link_that_cannot_be_used_is_one_clear_error() {
    let at =
        "https://console.aws.amazon.com/cloudformation/home?region=us-east-1#/stacks/quickcreate";
    let template = "templateUrl=https%3A%2F%2Fb.s3.amazonaws.com%2Ft";
    let many: String = (0..201).map(|n| format!("&param_P{n}=1")).collect();
    for (link, what) in [
        (String::new(), "not an address"),
        (at.to_owned(), "no parameters behind #"),
        (format!("{at}?{template}"), "no parameters (param_"),
        (format!("{at}?param_A=s3cr3t"), "names no template"),
        (format!("{at}?{template}&param_A=s3cr3t&param_A=2"), "twice"),
        (
            format!("{at}?{template}&{template}&param_A=s3cr3t"),
            "two templates",
        ),
        (
            format!("{at}?templateUrl=http://b/s3cr3t&param_A=1"),
            "no https",
        ),
        (
            format!("{at}?{template}&stackName=a%0As3cr3t&param_A=1"),
            "names a stack",
        ),
        (
            format!("{at}?{template}&param_A%20=s3cr3t"),
            "name that CloudFormation",
        ),
        (format!("{at}?{template}&param_A=%ffs3cr3t"), "UTF-8"),
        (format!("{at}?{template}{many}"), "200"),
        (
            format!("{at}?{template}&param_A={}", "x".repeat(20_000)),
            "too long",
        ),
        (
            format!("https://evil.example/#/q?{template}&param_A=s3cr3t"),
            "AWS console",
        ),
        (
            format!("https://evilconsole.aws.amazon.com/#/q?{template}&param_A=s3cr3t"),
            "AWS console",
        ),
        (
            format!("https://u:s3cr3t@console.aws.amazon.com/#/q?{template}&param_A=1"),
            "user name",
        ),
        ("javascript:s3cr3t".to_owned(), "AWS console"),
    ] {
        let error = StackLink::parse(&link).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.message().contains(what), "{what}: {error}");
        assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
    }
}

proptest! {
    #[test]
    fn no_value_of_a_link_is_shown(token in "[a-zA-Z0-9+/=]{16,80}") {
        let encoded = percent_encoding::utf8_percent_encode(&token, percent_encoding::NON_ALPHANUMERIC);
        let link = StackLink::parse(&LINK.replace("s3cr3t+a%2Fb%3D%3D", &encoded.to_string())).unwrap();
        prop_assert_eq!(link.parameters().get("ServiceToken"), Some(token.as_str()));
        let said = format!("{link:?}{:?}", link.parameters().shown().collect::<Vec<_>>());
        prop_assert!(!said.contains(&token));
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = StackLink::parse(&text);
        let _ = StackLink::parse(&format!("https://console.aws.amazon.com/#/q?{text}"));
    }
}
