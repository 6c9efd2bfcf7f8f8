//! The forms of messages.

use std::fmt;

/// The form of a message and what it lay in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Shape {
    /// The form of what is inside.
    pub form: Form,
    /// What it lay in, the outermost first; nothing if it came as it is.
    pub via: Vec<Envelope>,
}

impl Shape {
    pub(super) fn bare(form: Form) -> Self {
        Self {
            form,
            via: Vec::new(),
        }
    }

    pub(super) fn within(mut self, envelope: Envelope) -> Self {
        self.via.insert(0, envelope);
        self
    }

    /// The shape of a message with parts of both.
    pub(super) fn join(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        let same = self.via.iter().zip(&other.via);
        let same = same.take_while(|(one, two)| one == two).count();
        let form = if self.form == other.form {
            self.form
        } else {
            Form::Mixed
        };
        let mut via = self.via;
        via.truncate(same);
        Self { form, via }
    }
}

/// `S3 event in SNS in SQS`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form.as_str())?;
        for envelope in self.via.iter().rev() {
            write!(f, " in {}", envelope.as_str())?;
        }
        Ok(())
    }
}

/// What says something about objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Form {
    /// Records of `aws:s3`.
    S3Event,
    /// What S3 sends when a notification is set up.
    S3TestEvent,
    /// An event of `aws.s3` from EventBridge.
    EventBridge,
    /// CloudTrail's own message.
    CloudTrail,
    /// What CloudTrail sends when a topic is set up.
    CloudTrailValidation,
    /// What SNS sends when somebody subscribes or unsubscribes.
    SnsConfirmation,
    /// A list of no records.
    Empty,
    /// Several forms in one message.
    Mixed,
}

impl Form {
    /// The form's name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3Event => "S3 event",
            Self::S3TestEvent => "S3 test event",
            Self::EventBridge => "EventBridge event",
            Self::CloudTrail => "CloudTrail message",
            Self::CloudTrailValidation => "CloudTrail validation message",
            Self::SnsConfirmation => "SNS confirmation",
            Self::Empty => "no records",
            Self::Mixed => "mixed records",
        }
    }
}

/// What a message may lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Envelope {
    /// A notification of SNS, as a queue or a Lambda function gets it.
    Sns,
    /// A message of SQS, as a Lambda function gets it.
    Sqs,
    /// What a failed asynchronous call of a Lambda function leaves at its destination.
    LambdaDestination,
}

impl Envelope {
    /// The envelope's name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sns => "SNS",
            Self::Sqs => "SQS",
            Self::LambdaDestination => "a Lambda destination",
        }
    }
}
