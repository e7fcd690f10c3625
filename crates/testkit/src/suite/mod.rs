//! The cases: one table, and what is asked of a store instead of a case that it does not claim to pass.

mod concurrency;
mod contract;
mod copy;
mod delete;
mod directories;
mod list;
mod names;
mod parts;
mod properties;
mod read;
mod stat;
mod write;

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use mlflow_artifacts_core::{
    ByteRange, Capabilities, CopyOptions, Digest, DigestAlgorithm, ErrorKind, GetOptions, PresignMethod,
    PresignRequest, PutMode, PutOptions, Result, UploadOptions, UploadToken,
};

use crate::bench::{Bench, path, refused_for};
use crate::bodies::random_bytes;

pub(crate) struct Case {
    /// `module::function`.
    pub(crate) name: String,
    /// What a store must be able to do for the case to make sense.
    pub(crate) needs: Capabilities,
    pub(crate) run: Run,
}

type Run = Box<dyn Fn(Bench) -> LocalBoxFuture<'static, Result<()>> + Send + Sync>;

macro_rules! table {
    ($($module:ident { $($(#[$attribute:meta])* $case:ident $(needs $($capability:ident)|+)?,)+ })+) => {
        /// Every case.
        pub(crate) fn cases() -> Vec<Case> {
            let mut cases = vec![$($($(#[$attribute])* Case {
                name: concat!(stringify!($module), "::", stringify!($case)).to_owned(),
                needs: Capabilities::empty() $($(| Capabilities::$capability)+)?,
                run: Box::new(|bench| $module::$case(bench).boxed_local()),
            },)+)+];
            cases.extend(names::NAMES.iter().map(|(label, name)| Case {
                name: format!("names::{label}"),
                needs: Capabilities::empty(),
                run: Box::new(|bench| names::survives(bench, name).boxed_local()),
            }));
            cases
        }
    };
}

table! {
    contract {
        the_capabilities_are_the_expected_ones,
        the_capabilities_make_sense,
        the_store_names_itself,
        the_store_is_shared_between_threads,
        errors_name_the_operation_and_the_path,
        nothing_that_is_printed_holds_a_secret,
        operations_work_after_closing,
        requests_are_signed needs PRESIGN,
    }
    stat {
        a_file_is_told_with_its_size,
        a_directory_is_told,
        the_root_is_a_directory_even_when_empty,
        what_is_absent_is_not_found,
        what_is_below_a_file_is_not_found,
        the_time_of_writing_is_plausible,
        put_get_and_list_tell_the_same,
        an_etag_stays_while_the_content_stays,
        an_etag_changes_with_the_content,
        etags_of_quick_replacements_differ,
        the_digest_is_that_of_the_content needs SHA256,
    }
    read {
        a_file_is_read_whole,
        sizes_around_powers_of_two_are_read_whole,
        an_empty_file_has_no_bytes,
        what_is_absent_is_not_found,
        what_is_below_a_file_is_not_found,
        a_directory_is_refused,
        the_root_is_refused,
        the_right_digest_is_accepted,
        a_wrong_digest_ends_the_download_with_an_error,
        an_open_file_holds_the_same_bytes,
        a_download_can_be_abandoned,
        a_second_handle_reads_the_same,
        ranges_answer_exactly_their_bytes needs RANGE,
        ranges_of_an_empty_file_are_refused needs RANGE,
        ranges_of_what_is_absent_are_not_found needs RANGE,
        a_digest_with_a_range_is_refused needs RANGE,
        the_current_etag_is_accepted needs IF_MATCH,
        an_old_etag_is_refused needs IF_MATCH,
        an_etag_of_what_is_gone_is_not_found needs IF_MATCH,
    }
    write {
        every_form_of_body_is_written,
        chunks_of_any_size_are_joined,
        missing_parents_are_made,
        an_existing_file_is_replaced,
        the_root_is_refused,
        a_directory_is_refused needs DIRECTORIES,
        an_empty_directory_is_refused needs DIRECTORIES,
        below_a_file_is_refused needs DIRECTORIES,
        a_stream_that_is_too_short_leaves_nothing,
        a_stream_that_is_too_long_leaves_nothing,
        a_stream_that_fails_leaves_nothing,
        a_failed_put_leaves_no_new_directory,
        the_right_digest_is_accepted,
        a_wrong_digest_leaves_nothing,
        a_missing_local_file_is_not_found,
        a_local_directory_is_refused,
        #[cfg(unix)]
        a_local_device_is_refused,
        a_local_file_that_grows_is_refused_or_as_it_was,
        an_open_file_that_has_changed_is_refused,
        an_open_file_is_read_from_its_beginning,
        the_observer_sees_every_byte,
        the_observer_can_stop_it,
        an_endless_stream_can_be_stopped,
        nothing_is_visible_before_the_end,
        the_old_content_is_read_until_the_end,
        dropping_it_midway_leaves_nothing,
        dropping_it_midway_keeps_the_old_content,
        a_put_that_is_never_polled_does_nothing,
        dropping_it_at_any_point_is_all_or_nothing,
        a_new_file_is_created needs CREATE_NEW,
        creating_what_exists_is_refused needs CREATE_NEW,
        creating_over_a_directory_is_refused needs CREATE_NEW | DIRECTORIES,
        of_two_creators_one_wins needs CREATE_NEW,
        the_current_etag_is_replaced needs REPLACE_IF_MATCH,
        an_old_etag_is_refused needs REPLACE_IF_MATCH,
        an_etag_of_what_is_gone_is_refused needs REPLACE_IF_MATCH,
        of_two_replacers_one_wins needs REPLACE_IF_MATCH,
    }
    list {
        an_empty_store_is_empty,
        children_are_the_next_level,
        entries_tell_kind_and_size,
        children_are_sorted_by_code_point,
        a_recursive_listing_is_complete_and_in_order,
        paths_are_relative_to_the_root,
        a_directory_is_not_a_prefix,
        what_is_absent_is_empty,
        a_file_is_empty,
        nothing_happens_before_it_is_polled,
        a_listing_can_be_abandoned,
        a_crowded_directory_is_listed_complete,
        a_deep_tree_is_listed_and_deleted,
    }
    delete {
        a_file_is_removed,
        a_file_is_removed_recursively_too,
        what_is_absent_is_no_error,
        what_is_below_a_file_is_no_error,
        deleting_twice_finds_nothing,
        a_directory_is_refused,
        the_root_is_refused,
        a_directory_goes_with_everything_in_it,
        foo_never_touches_foobar,
        a_name_is_not_a_pattern,
        the_root_goes_with_everything_in_it,
        a_deleted_name_can_be_used_again,
        many_are_answered_one_by_one_in_order,
        many_may_be_none_or_the_same,
        many_may_be_very_many,
    }
    directories {
        an_empty_one_stays needs DIRECTORIES,
        parents_are_made needs DIRECTORIES,
        making_one_again_keeps_what_is_in_it needs DIRECTORIES,
        on_a_file_is_refused needs DIRECTORIES,
        below_a_file_is_refused needs DIRECTORIES,
        the_root_is_there_already needs DIRECTORIES,
        an_empty_one_is_deleted_recursively_only needs DIRECTORIES,
        one_stays_when_its_last_file_goes needs DIRECTORIES,
        the_parent_stays_when_one_is_deleted needs DIRECTORIES,
        many_makers_of_one_succeed needs DIRECTORIES,
    }
    copy {
        the_content_is_the_same needs COPY,
        the_target_is_replaced needs COPY,
        source_and_copy_are_independent needs COPY,
        onto_itself_keeps_the_content needs COPY,
        a_missing_source_is_not_found needs COPY,
        a_directory_is_no_source needs COPY,
        a_directory_is_no_target needs COPY | DIRECTORIES,
        below_a_file_is_refused needs COPY | DIRECTORIES,
        creating_what_exists_is_refused needs COPY | CREATE_NEW,
        only_the_current_etag_is_replaced needs COPY | REPLACE_IF_MATCH,
    }
    parts {
        sizes_around_the_part_size_are_whole needs MULTIPART,
        an_empty_part_makes_an_empty_file needs MULTIPART,
        parts_come_in_any_order_and_in_parallel needs MULTIPART,
        a_part_comes_as_a_stream needs MULTIPART,
        a_part_that_streams_badly_is_refused needs MULTIPART,
        nothing_is_visible_before_the_end needs MULTIPART,
        the_old_content_is_read_until_the_end needs MULTIPART,
        missing_parents_are_made needs MULTIPART,
        wrong_receipts_are_refused_and_leave_nothing needs MULTIPART,
        a_short_part_in_the_middle_is_refused needs MULTIPART,
        a_malformed_part_is_refused needs MULTIPART,
        no_parts_are_an_empty_file_or_refused needs MULTIPART,
        a_part_that_is_put_again_replaces_the_first needs MULTIPART,
        the_receipt_of_a_replaced_part_is_refused needs MULTIPART,
        aborting_leaves_nothing needs MULTIPART,
        aborting_leaves_no_new_directory needs MULTIPART,
        aborting_keeps_the_old_content needs MULTIPART,
        two_uploads_of_one_path_do_not_mix needs MULTIPART,
        the_part_size_is_chosen_for_the_length needs MULTIPART,
        the_part_size_is_what_was_asked_for needs MULTIPART,
        a_directory_is_refused needs MULTIPART | DIRECTORIES,
        below_a_file_is_refused needs MULTIPART | DIRECTORIES,
        creating_what_exists_is_refused_at_the_end needs MULTIPART | CREATE_NEW,
        only_the_current_etag_is_replaced needs MULTIPART | REPLACE_IF_MATCH,
        the_digest_is_that_of_the_content needs MULTIPART | SHA256,
        an_upload_is_taken_up_by_its_token needs RESUME_UPLOAD,
        an_upload_is_taken_up_by_a_second_handle needs RESUME_UPLOAD,
        an_upload_is_aborted_by_a_second_handle needs RESUME_UPLOAD,
        a_completed_upload_is_over needs RESUME_UPLOAD,
        a_late_part_does_not_touch_the_artifact needs RESUME_UPLOAD,
        a_foreign_token_is_refused needs RESUME_UPLOAD,
    }
    properties {
        those_of_the_put_are_kept needs PROPERTIES,
        any_value_is_kept needs PROPERTIES,
        a_replacement_replaces_them needs PROPERTIES,
        the_same_content_with_others_gets_them needs PROPERTIES,
        directories_have_none needs PROPERTIES,
        those_of_what_is_absent_are_not_found needs PROPERTIES,
        a_copy_keeps_them needs PROPERTIES | COPY,
        those_of_an_upload_are_kept needs PROPERTIES | MULTIPART,
    }
    concurrency {
        a_reader_sees_old_or_new_and_never_a_mix,
        an_open_download_survives_a_replacement,
        of_many_writers_one_wins_whole,
        readers_and_writers_of_many_paths_do_not_meet,
        a_listing_shows_only_what_is_complete,
        a_listing_survives_deletions,
        a_parent_may_come_and_go,
        many_deleters_of_one_file_succeed,
        two_handles_see_each_other,
    }
    names {
        an_encoded_name_is_another_name,
        case_tells_names_apart,
        unicode_is_not_normalized,
        spaces_are_not_trimmed,
        the_longest_name_is_accepted,
        a_longer_name_is_refused,
    }
}

/// Asserts that every capability of `missing` is refused as unsupported, and that the refusal changes nothing.
pub(crate) async fn unsupported(bench: Bench, missing: Capabilities) -> Result<()> {
    let (content, new) = (random_bytes(1, 100), random_bytes(2, 100));
    bench.put("file", &content).await?;
    for capability in missing.iter() {
        is_unsupported(&bench, capability, &new).await?;
        bench.holds(&[("file", &content)]).await?;
    }
    Ok(())
}

async fn is_unsupported(bench: &Bench, capability: Capabilities, new: &bytes::Bytes) -> Result<()> {
    let (store, file) = (&bench.store, path("file"));
    let copies = bench.claims.contains(Capabilities::COPY);
    match capability {
        Capabilities::DIRECTORIES => refuses(store.create_directory(&path("d")).await, "create_directory"),
        Capabilities::RANGE => {
            for range in [ByteRange::From(1), ByteRange::Between(0, 1), ByteRange::Last(1)] {
                let options = GetOptions { range, ..GetOptions::default() };
                refuses(store.get(&file, options).await, "get of a range");
            }
        }
        Capabilities::CREATE_NEW => {
            refuses(bench.put_as("free", new, PutMode::CreateNew).await, "put with CreateNew");
            refuses(bench.put_as("file", new, PutMode::CreateNew).await, "put with CreateNew");
            if copies {
                let options = CopyOptions { mode: PutMode::CreateNew };
                refuses(store.copy(&file, &path("free"), options).await, "copy with CreateNew");
            }
        }
        Capabilities::IF_MATCH => {
            let if_match = Some(bench.etag("file").await?.unwrap_or_else(|| "etag".to_owned()));
            refuses(
                store.get(&file, GetOptions { if_match, ..GetOptions::default() }).await,
                "get with if_match",
            );
        }
        Capabilities::REPLACE_IF_MATCH => {
            let mode = PutMode::IfMatch(bench.etag("file").await?.unwrap_or_else(|| "etag".to_owned()));
            refuses(bench.put_as("file", new, mode.clone()).await, "put with IfMatch");
            if copies {
                bench.put("from", new).await?;
                refuses(store.copy(&path("from"), &file, CopyOptions { mode }).await, "copy with IfMatch");
                mlflow_artifacts_core::ArtifactStoreExt::delete_tree(&**store, &path("from")).await?;
            }
        }
        Capabilities::MULTIPART => {
            refuses(store.begin_upload(&path("free"), UploadOptions::default()).await, "begin_upload");
        }
        Capabilities::RESUME_UPLOAD => {
            refuses(store.resume_upload(&UploadToken::new("token")).await, "resume_upload");
            if bench.claims.contains(Capabilities::MULTIPART) {
                let upload = store.begin_upload(&path("free"), UploadOptions::default()).await?;
                assert_eq!(upload.token(), None, "an upload that cannot be resumed has no token");
                upload.abort().await?;
            }
        }
        Capabilities::COPY => {
            refuses(store.copy(&file, &path("free"), CopyOptions::default()).await, "copy");
        }
        Capabilities::PRESIGN => {
            let (method, expires_in) = (PresignMethod::Get, Duration::from_mins(1));
            refuses(store.presign(PresignRequest { path: file, method, expires_in }).await, "presign");
        }
        Capabilities::SHA256 => {
            // Nothing can be refused here: a digest that is told nevertheless must be right.
            let told = bench.stat("file").await?.digest;
            let content = bench.content("file").await?;
            assert!(told.is_none_or(|digest| digest == Digest::of(DigestAlgorithm::Sha256, &content)));
        }
        Capabilities::PROPERTIES => {
            let properties = properties::properties(&[("name", &["value"])]);
            let options = PutOptions { properties: properties.clone(), ..PutOptions::default() };
            refuses(store.put(&path("free"), new.clone().into(), options).await, "put with properties");
            refuses(store.properties(&file).await, "properties");
            if bench.claims.contains(Capabilities::MULTIPART) {
                let options = UploadOptions { properties, ..UploadOptions::default() };
                refuses(store.begin_upload(&path("free"), options).await, "begin_upload with properties");
            }
        }
        unknown => panic!("the suite does not know {unknown:?}"),
    }
    Ok(())
}

#[track_caller]
fn refuses<T: std::fmt::Debug>(answer: Result<T>, call: &str) {
    refused_for(answer, ErrorKind::Unsupported, call);
}
