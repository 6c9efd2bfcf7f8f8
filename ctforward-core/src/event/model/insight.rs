//! What an Insights event reports:
//! [record contents for Insights events](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-insights-fields-trails.html).

use super::lenient::model;

model! {
    /// `insightDetails`: an unusual rate of calls or errors, at its start or end.
    pub struct InsightDetails {
        /// `state`: `Start` or `End`.
        state: String = "state",
        /// `eventSource`: the service with the unusual activity.
        event_source: String = "eventSource",
        /// `eventName`: the action with the unusual activity.
        event_name: String = "eventName",
        /// `insightType`: `ApiCallRateInsight` or `ApiErrorRateInsight`.
        insight_type: String = "insightType",
        /// `errorCode`: which error, for an unusual rate of errors.
        error_code: String = "errorCode",
        /// `insightContext`: by how much, and by whom.
        insight_context: Box<InsightContext> = "insightContext",
    }
}

model! {
    /// `insightDetails.insightContext`.
    pub struct InsightContext {
        /// `statistics` of the whole.
        statistics: InsightStatistics = "statistics",
        /// `attributions`: what the activity is put down to.
        attributions: Vec<InsightAttribution> = "attributions",
    }
}

model! {
    /// `insightContext.statistics`.
    pub struct InsightStatistics {
        /// `baseline`: the usual rate.
        baseline: InsightRate = "baseline",
        /// `insight`: the unusual rate.
        insight: InsightRate = "insight",
        /// `insightDuration` in minutes.
        insight_duration: f64 = "insightDuration",
        /// `baselineDuration` in minutes.
        baseline_duration: f64 = "baselineDuration",
    }
}

model! {
    /// A rate in `insightContext.statistics`.
    pub struct InsightRate {
        /// `average`: calls or errors per minute.
        average: f64 = "average",
    }
}

model! {
    /// One of `insightContext.attributions`.
    pub struct InsightAttribution {
        /// `attribute`: `userIdentityArn`, `userAgent` or `errorCode`.
        attribute: String = "attribute",
        /// `insight`: the attribute's values during the unusual activity.
        insight: Vec<InsightValue> = "insight",
        /// `baseline`: its values in the time before.
        baseline: Vec<InsightValue> = "baseline",
    }
}

model! {
    /// One value of an attribute and its share.
    pub struct InsightValue {
        /// `value` of the attribute.
        value: String = "value",
        /// `average`: calls or errors per minute.
        average: f64 = "average",
    }
}
