//! Every row of the table of outcomes, reached through a whole pipeline, and which
//! test reaches it.

mod answers;
mod arrives;
mod reading;
mod refused;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What arrives, and the tests that reach it: `crate folder: test`. The rows are
/// those of the table, in its order; where one names several things, several.
const ROWS: &[(&str, &[&str])] = &[
    (
        "test events, validation messages, non-creations",
        &["core: what_is_rightly_no_file_is_acknowledged_and_counted_and_nothing_is_sent"],
    ),
    (
        "folder objects",
        &["core: a_folder_object_is_skipped_and_one_with_content_is_read"],
    ),
    (
        "empty Records",
        &["core: a_file_of_no_records_is_finished_and_nothing_is_sent"],
    ),
    (
        "digest files",
        &[
            "core: a_digest_file_is_skipped_with_a_count_and_never_opened",
            "core: what_is_no_log_file_is_skipped_by_listing_and_quarantined_when_named_or_misplaced",
        ],
    ),
    (
        "Insight, NetworkActivity, Aggregated files",
        &[
            "core: insight_network_activity_and_aggregated_files_are_forwarded_unless_configured_out",
        ],
    ),
    (
        "no CloudTrail log: skipped in a listing, quarantined when named",
        &[
            "core: what_is_no_log_is_counted_in_a_listing_and_told_from_broken_json_when_named",
            "core: what_is_no_log_file_is_skipped_by_listing_and_quarantined_when_named_or_misplaced",
        ],
    ),
    (
        "truncated, corrupt, over a cap",
        &[
            "core: an_unreadable_file_is_kept_by_the_hash_of_its_stored_bytes_or_as_a_copy",
            "core: corrupt_files_and_files_over_a_cap_are_quarantined_by_reference",
            "core: of_a_large_file_that_is_cut_the_accepted_prefix_stays_and_the_file_is_quarantined",
        ],
    ),
    (
        "a record that is no object, over the sink's limit, over the reader's cap",
        &[
            "core: bad_oversized_and_long_records_are_kept_byte_exact_or_by_reference_and_the_rest_goes_on",
            "core: a_record_of_just_the_sinks_limit_is_sent_and_one_byte_more_is_not",
        ],
    ),
    (
        "S3: NoSuchKey after retries",
        &[
            "core: an_object_that_is_late_is_read_and_one_that_stays_missing_is_quarantined",
            "aws: every_answer_says_what_to_do",
        ],
    ),
    (
        "S3: access or KMS denied",
        &[
            "core: a_denied_bucket_is_left_alone_for_a_minute_and_others_are_not",
            "core: files_that_were_claimed_before_a_bucket_was_denied_are_not_opened_after_it",
            "aws: every_answer_says_what_to_do",
        ],
    ),
    (
        "S3: archived",
        &[
            "core: an_archived_object_is_quarantined_as_that_without_a_second_try",
            "aws: every_answer_says_what_to_do",
        ],
    ),
    (
        "S3: 503, timeouts, cut bodies",
        &[
            "core: what_fails_in_passing_is_opened_again_and_given_back_when_it_goes_on_failing",
            "core: a_source_or_a_file_that_fails_in_passing_is_asked_again",
            "aws: a_broken_body_goes_on_wherever_it_broke",
            "aws: an_object_that_changed_is_never_glued_together",
        ],
    ),
    (
        "sink 200, 201, 202, 204; HTML and error objects",
        &["visionone: each_status_ends_as_the_table_says"],
    ),
    (
        "207 where the sink documents it",
        &[
            "core: an_answer_in_parts_is_read_record_by_record",
            "core: records_that_a_sink_names_again_are_sent_again_alone",
        ],
    ),
    (
        "413",
        &[
            "core: a_batch_too_large_is_halved_and_a_single_record_too_large_is_put_aside",
            "visionone: too_large_and_refused_records_are_put_aside_alone",
        ],
    ),
    (
        "400, 422",
        &[
            "core: a_refused_record_is_found_in_few_requests_and_put_aside_alone",
            "visionone: too_large_and_refused_records_are_put_aside_alone",
        ],
    ),
    (
        "400, 422 for everything",
        &[
            "core: a_sink_that_refuses_everything_stops_the_run_with_nothing_put_aside_or_acknowledged",
            "core: a_sink_that_refuses_everything_is_tried_each_minute_until_it_takes_something",
            "visionone: each_status_ends_as_the_table_says",
        ],
    ),
    (
        "400, 422 for more than 100 and 1 %",
        &["core: more_refusals_than_are_believable_put_no_more_aside"],
    ),
    (
        "401, 403, a wrong endpoint: stop",
        &[
            "core: a_wrong_token_or_endpoint_stops_the_run_and_acknowledges_nothing",
            "visionone: each_status_ends_as_the_table_says",
            "visionone: a_refused_token_is_read_anew_once",
        ],
    ),
    (
        "401, 403, a wrong endpoint: probe",
        &["core: a_wrong_token_or_endpoint_is_probed_each_minute_and_recovers_by_itself"],
    ),
    (
        "408, 429, 5xx, timeouts, resets",
        &[
            "core: a_busy_sink_is_tried_for_as_long_as_the_receipt_can_be_held_and_then_nothing_is_lost",
            "core: what_passes_later_is_tried_again_until_it_passes",
            "visionone: what_passes_later_is_sent_again_until_it_passes",
            "visionone: a_pipeline_loses_nothing_to_any_of_them",
        ],
    ),
    (
        "one bad message in a batch of many",
        &["core: one_bad_message_is_kept_and_its_siblings_go_on"],
    ),
    (
        "SIGTERM, a deadline near",
        &[
            "core: a_stop_leaves_an_exact_partial_result",
            "core: a_stop_finishes_what_is_under_way_and_gives_back_the_rest",
            "core: a_sink_that_never_answers_is_left_after_the_drain_time_and_nothing_is_acknowledged",
        ],
    ),
];

#[test]
fn each_row_names_tests_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for crate_name in ["core", "aws", "visionone"] {
        let folder = root.join(format!("../ctforward-{crate_name}/tests/it"));
        if !folder.exists() {
            continue; // this crate alone was unpacked
        }
        let there = tests_in(&folder);
        assert!(!there.is_empty());
        for (row, tests) in ROWS {
            for test in *tests {
                if let Some(name) = test.strip_prefix(&format!("{crate_name}: ")) {
                    assert!(there.contains(name), "{row}: {test}");
                }
            }
        }
    }
}

/// The names of all functions in a folder of sources.
fn tests_in(folder: &Path) -> BTreeSet<String> {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let after = text.split("fn ").skip(1);
            names.extend(after.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
        }
    }
    names
}
