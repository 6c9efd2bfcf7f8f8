use super::*;

fn kind(text: &str) -> Kind {
    text.parse::<Fault>().unwrap().kind
}

#[test]
fn every_form_is_read() {
    let slow_down = StatusCode::TOO_MANY_REQUESTS;
    for (text, wait) in [
        ("429:0.1", None),
        ("429:0.1,retry-after=2", Some(Wait::Seconds(2))),
        ("429:retry-after-date=2,0.1", Some(Wait::Date(2))),
    ] {
        assert_eq!(kind(text), Kind::Drawn(0.1, Drawn::Status(slow_down, wait)));
        assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
    }
    assert_eq!(
        kind("401:after=5,for=2"),
        Kind::Window {
            status: StatusCode::UNAUTHORIZED,
            wait: None,
            after: 5,
            span: Some(2)
        }
    );
    assert_eq!(
        kind("422:retry-after=1,match=a,b=c:d"),
        Kind::Match {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            wait: Some(Wait::Seconds(1)),
            text: "a,b=c:d".into()
        }
    );
    assert_eq!(
        kind("413:bytes=1000"),
        Kind::Over {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            wait: None,
            most: 1000
        }
    );
    assert_eq!(
        kind("slow:1,ms=500"),
        Kind::Drawn(1.0, Drawn::Slow(Duration::from_millis(500)))
    );
    assert_eq!(
        kind("stuck:0"),
        Kind::Drawn(0.0, Drawn::Stuck { stored: false })
    );
    assert_eq!(
        kind("stuck:1,stored"),
        Kind::Drawn(1.0, Drawn::Stuck { stored: true })
    );
    assert_eq!(
        kind("redirect:1,status=302,to=http://h/?a=1,2"),
        Kind::Drawn(
            1.0,
            Drawn::Redirect(
                StatusCode::FOUND,
                HeaderValue::from_static("http://h/?a=1,2")
            )
        )
    );
    for text in [
        "reset-before:1",
        "reset-after:.5",
        "html:1e-3",
        "redirect:1",
        "endless:1,status=200",
        "truncated:1",
        "echo-headers",
        "503:1",
    ] {
        assert!(text.parse::<Fault>().is_ok(), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    for (text, why) in [
        ("", "must begin with"),
        ("later:0.1", "must begin with"),
        ("200:1", "must begin with"),
        ("600:1", "must begin with"),
        ("429", "needs one of"),
        ("429:", "needs one of"),
        ("429:1.1", "from 0 to 1"),
        ("429:-1", "from 0 to 1"),
        ("429:NaN", "from 0 to 1"),
        ("429:often", "from 0 to 1"),
        ("reset-after", "from 0 to 1"),
        ("slow:1", "ms=N"),
        ("slow:1,ms=99999999999", "whole number"),
        ("slow:1,ms=-1", "whole number"),
        ("slow:1,ms=+1", "whole number"),
        ("stuck:1,kept", "knows no kept"),
        ("html:1,ms=3", "knows no ms"),
        ("html:1,0.5", "knows no 0.5"),
        ("429:1,for=3", "knows no for"),
        ("429:1,after=3", "needs one of"),
        ("429:1,retry-after=1,retry-after=2", "twice"),
        ("429:1,retry-after=1,retry-after-date=2", "not both"),
        ("redirect:1,status=200", "300 to 399"),
        ("redirect:1,to=a\nb", "address"),
        ("400:match=", "one line"),
        ("400:match=a\nb", "one line"),
        ("echo-headers:1", "knows no 1"),
        ("\u{1b}[31m\n:1", "must begin with"),
    ] {
        let error = text.parse::<Fault>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains(why), "{text:?}: {error}");
        assert!(!error.message().contains(['\n', '\u{1b}']), "{error:?}");
    }
}
