"""One entry per id of docs/contract.md: the tests that prove it, or the feature it waits for. `test_manifest` holds it true.

A test is named `folder/module::function` below tests/. An id that is proved in part says what it still waits for.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """`waits_for` is "" for what is wholly here."""

    tests: tuple[str, ...] = ()
    waits_for: str = ""


def proved(*tests: str, waits_for: str = "") -> Entry:
    return Entry(tests, waits_for)


CONTRACT: dict[str, Entry] = {
    "CHAT-01": proved(
        "spec/test_whole_chat::test_every_published_request_is_answered_in_the_published_shape",
        "edge/test_edge_chat::test_every_published_request_is_answered",
    ),
    "CHAT-02": proved(
        "spec/test_whole_chat::test_null_and_empty_mean_absent_and_unknown_fields_are_no_matter",
        "spec/test_whole_chat::test_metadata_comes_back_unaltered_wherever_it_is_shown",
        "edge/test_edge_bodies::test_metadata_passes_as_it_was_written",
        "core/test_core_rpc::test_a_wrong_field_is_named",
    ),
    "CHAT-03": proved(
        "spec/test_whole_chat::test_null_and_empty_mean_absent_and_unknown_fields_are_no_matter",
        "edge/test_edge_bodies::test_the_session_is_named_in_one_of_four_ways",
        "edge/test_edge_bodies::test_openais_user_stands_in",
        "spec/test_known_exchanges::test_coval_opens_a_session_and_names_it_from_then_on",
        "spec/test_several_agents::test_what_clients_ask_of_a_model_reaches_the_agent",
        "spec/test_several_agents::test_where_it_is_strict_an_unknown_model_is_404",
    ),
    "CHAT-04": proved(
        "spec/test_whole_chat::test_our_own_reply_sent_back_is_accepted_and_a_tool_loop_ends_by_itself",
        "spec/test_whole_resources::test_what_is_wrong_is_400_in_the_published_shape",
        "edge/test_edge_bodies::test_parts_are_joined_and_calls_pass_through",
        "edge/test_edge_bodies::test_an_agent_may_open",
        "core/test_core_transcript::test_a_request_with_nothing_to_answer_is_refused",
    ),
    "CHAT-05": proved(
        "spec/test_whole_chat::test_every_published_request_is_answered_in_the_published_shape",
        "spec/test_whole_chat::test_the_published_exchanges_come_out_as_published",
        "core/test_core_sessions::test_usage_counts_four_bytes_a_token_and_four_tokens_a_message",
        "edge/test_edge_resources::test_the_agents_are_models",
        "spec/test_several_agents::test_the_model_picks_one_and_the_reply_says_who",
        "spec/test_several_agents::test_all_are_listed_the_default_first",
    ),
    "CHAT-06": proved(
        "spec/test_whole_chat::test_a_minted_session_id_continues_the_conversation_and_its_chat_id_stays",
        "core/test_core_attempts::test_a_minted_session_id_is_the_same_when_its_attempt_is_sent_again",
    ),
    "CHAT-07": proved(
        "spec/test_whole_chat::test_a_minted_session_id_continues_the_conversation_and_its_chat_id_stays",
        "core/test_core_sessions::test_a_chat_id_is_new_when_a_deleted_sessions_id_is_used_again",
    ),
    "CHAT-08": proved(
        "spec/test_whole_chat::test_every_published_request_is_answered_in_the_published_shape",
        "spec/test_whole_chat::test_the_complete_sequence_of_tool_calls_is_shown_failures_too",
    ),
    "CHAT-09": proved(
        "spec/test_whole_chat::test_the_complete_sequence_of_tool_calls_is_shown_failures_too",
        "core/test_core_sessions::test_what_the_agent_says_of_its_turn_is_laid_over_what_the_record_shows",
        "agents/test_support_evaluation::test_tool_called_and_tool_success",
    ),
    "CHAT-10": proved(
        "spec/test_whole_chat::test_the_published_exchanges_come_out_as_published",
        "spec/test_whole_chat::test_the_complete_sequence_of_tool_calls_is_shown_failures_too",
        "core/test_core_tools::test_each_way_of_failing_has_its_type_and_message",
    ),
    "CHAT-11": proved(
        "spec/test_whole_chat::test_system_messages_are_context",
        "core/test_core_transcript::test_for_a_last_message_client_the_latest_system_messages_hold_until_replaced",
        "agents/test_support_tools::test_documents_of_the_session_are_found_before_the_policies",
        "spec/test_known_exchanges::test_promptfoo_with_stateful_true_sends_its_last_message_and_the_system_prompt_once",
    ),
    "CHAT-12": proved(
        "spec/test_turn_cases::test_the_same_turns_have_the_same_answers_through_every_door",
        "spec/test_whole_chat::test_a_transcript_goes_on_goes_back_and_starts_over_with_its_world",
        "core/test_core_transcript::test_a_client_that",
        "core/test_core_transcript::test_what_an_agent_sees_is_the_carried_transcript_completed_with_the_stored_tool_calls",
        "spec/test_placing_machine::test_every_kind_of_client_gets_the_right_answer_and_its_twin_too",
    ),
    "CHAT-13": proved(
        "spec/test_placing_table::test_a_request_stands_where_the_rule_says",
        "spec/test_placing_machine::test_every_kind_of_client_gets_the_right_answer_and_its_twin_too",
        "spec/test_placing_reads::test_placing_is_one_query_at_most",
        "spec/test_placing_reads::test_a_branch_is_found_by_its_replies_however_many_others_say_the_same",
        "spec/test_placing_reads::test_the_current_branch_is_found_however_many_others_say_the_same",
        "spec/test_whole_chat::test_a_transcript_goes_on_goes_back_and_starts_over_with_its_world",
        "core/test_core_transcript::test_a_client_that",
        "spec/test_known_exchanges::test_a_reply_that_promptfoo_made_a_string_of_is_still_the_turn_it_was",
    ),
    "CHAT-14": proved(
        "spec/test_whole_retries::test_the_official_client_keeps_its_conversation_without_a_session_id",
        "interop/test_langchain::test_three_turns_go_on_from_each_other_plain_or_streamed_with_a_session_id_or_without",
        "spec/test_placing_machine::test_every_kind_of_client_gets_the_right_answer_and_its_twin_too",
        "core/test_core_forks::test_a_conversation_without_session_id_goes_on_from_its_end",
        "core/test_core_forks::test_from_within_it_goes_on_in_a_fork_with_the_world_as_it_was",
        "core/test_core_forks::test_it_is_found_only_by_its_own_key_for_its_own_user_and_word_for_word",
        "core/test_core_forks::test_two_that_differ_in_anything_but_their_words_are_never_taken_for_each_other",
        "core/test_core_forks::test_many_clients_with_the_same_words_each_have_a_session_of_their_own",
        "core/test_core_forks::test_one_that_was_closed_or_deleted_is_not_gone_on_with",
        "spec/test_known_exchanges::test_promptfoo_with_stateful_false_sends_everything_and_no_id",
        "spec/test_several_agents::test_a_conversation_without_id_goes_on_with_the_agent_that_is_asked",
    ),
    "CHAT-15": proved(
        "core/test_core_attempts::test_an_attempt_that_is_sent_again_is_found_and_not_run_again",
        "core/test_core_attempts::test_an_idempotency_key_with_the_same_body_returns_the_stored_reply",
        "core/test_core_attempts::test_an_idempotency_key_with_another_body_is_a_conflict",
        "core/test_core_attempts::test_an_idempotency_key_finds_its_reply_without_a_session_id",
        "core/test_core_attempts::test_a_failure_is_not_kept_under_its_idempotency_key",
        "edge/test_edge_bodies::test_an_idempotency_key_reaches_the_core_and_a_replay_says_so",
        "edge/test_edge_turn_stream::test_a_client_that_leaves_does_not_stop_its_turn",
        "edge/test_edge_turn_stream::test_a_turn_whose_stream_broke_is_sent_again_as_the_same_attempt",
        "spec/test_whole_retries::test_the_same_request_in_flight_is_answered_with_one_turn",
        "spec/test_whole_retries::test_a_client_that_hung_up_gets_the_reply_when_it_asks_again",
        "spec/test_whole_retries::test_a_retry_gets_what_was_committed_and_runs_what_was_not",
        "core/test_core_repeats::test_the_same_request_in_flight_is_run_once_and_answered_to_all",
        "core/test_core_repeats::test_one_whose_own_caller_stops_it_is_taken_over_by_those_who_joined",
        "core/test_core_repeats::test_a_reply_whose_client_has_left_is_kept_for_the_same_request",
        "core/test_core_repeats::test_a_reply_that_somebody_got_is_not_kept_for_one_who_left",
        "core/test_core_repeats::test_without_a_session_id_the_same_request_finds_what_its_client_left",
        "core/test_core_repeats::"
        "test_a_stream_that_breaks_leaves_its_turns_to_their_end_and_their_replies_to_whoever_asks",
        "core/test_core_repeats::test_a_retry_gets_the_reply_that_was_committed_for_a_lower_count",
        "core/test_core_repeats::test_a_retry_of_one_that_failed_runs_though_the_same_words_were_said_before",
        "core/test_core_repeats::"
        "test_a_retry_of_one_that_was_refused_on_its_way_runs_though_the_same_words_were_said_before",
        "core/test_core_repeats::test_another_body_under_the_same_key_is_refused_whatever_differs",
        "core/test_core_killed::test_a_core_killed_while_it_commits_has_each_turn_whole_or_not_at_all",
        "proof/test_kill_proof::test_each_turn_counts_once_while_processes_are_killed",
    ),
    "CHAT-16": proved(
        "spec/test_whole_chat::test_turns_of_one_session_wait_for_each_other_and_then_it_is_busy",
        "core/test_core_waiting::test_turns_of_a_session_run_one_at_a_time_in_the_order_of_their_arrival",
        "core/test_core_waiting::test_eight_turns_wait_for_a_session_and_the_next_is_told_that_it_is_busy",
        "core/test_core_waiting::test_whatever_comes_and_goes_a_session_has_one_turn_at_a_time",
        "core/test_core_world::test_sessions_never_see_each_other",
        "core/test_core_failing_turns::test_a_commit_that_a_stranger_overtook_runs_the_turn_once_more",
        "core/test_core_repeats::test_two_cores_on_one_database_answer_the_same_request_once",
        "core/test_core_repeats::"
        "test_a_turn_that_lost_its_place_to_another_writer_runs_again_with_the_same_keys_for_its_tools",
        "proof/test_kill_proof::test_each_turn_counts_once_while_processes_are_killed",
        "proof/test_leak_proof::test_the_support_agent_passes",
        "proof/test_leak_proof::test_clients_that_name_no_session_and_begin_alike_are_kept_apart",
        "proof/test_leak_proof::test_an_agent_that_mixes_its_customers_up_is_caught_and_the_way_is_named",
    ),
    "CHAT-17": proved(
        "spec/test_whole_chat::test_a_failed_turn_says_nothing_of_why_and_leaves_the_session_as_it_was",
        "core/test_core_failing_turns::"
        "test_a_turn_whose_agent_raises_leaves_no_trace_in_the_session_and_evidence_beside_it",
        "core/test_core_failing_turns::test_an_agent_past_its_deadline_is_cancelled_and_leaves_nothing",
        "core/test_core_failing_turns::test_a_plain_function_past_its_deadline_is_cut_off_from_its_world",
        "core/test_core_failing_turns::test_an_agent_that_swallows_its_cancellation_is_left_behind",
        "core/test_core_failing_turns::test_what_a_failing_tool_wrote_is_undone_and_the_turn_goes_on",
        "core/test_core_failing_turns::test_a_deadline_that_falls_while_the_commit_is_queued_does_not_undo_it",
        "core/test_core_killed::test_a_core_killed_in_mid_turn_leaves_the_session_as_it_was",
        "core/test_core_killed::test_a_core_killed_while_it_commits_has_each_turn_whole_or_not_at_all",
        "core/test_core_world::test_what_a_failed_call_wrote_is_undone_whatever_it_was",
        "core/test_core_attempts::test_a_calls_key_is_the_same_on_every_attempt_and_its_own",
        "spec/test_known_exchanges::test_galtea_retries_after_a_500_and_its_turn_counts_once",
    ),
    "CHAT-18": proved(
        "spec/test_whole_chat::test_a_turn_past_its_deadline_is_504_and_not_to_be_retried",
        "spec/test_whole_chat::test_a_session_belongs_to_the_first_user_named_in_it",
        "core/test_core_agents::test_a_slow_turn_is_warned_of",
        "core/test_core_users::test_a_user_never_seen_before_is_made_on_the_fly",
        "core/test_core_failing_turns::test_a_deadline_that_falls_while_the_commit_is_queued_does_not_undo_it",
    ),
    "CHAT-19": proved(
        "spec/test_whole_chat::test_tool_calls_stand_in_the_metadata_where_that_is_asked_for",
        "spec/test_whole_chat::test_our_own_reply_sent_back_is_accepted_and_a_tool_loop_ends_by_itself",
        "edge/test_edge_streaming::test_the_trace_goes_where_the_request_the_key_or_the_setting_says",
        "interop/test_node_client::test_its_tool_runner_ends_by_itself_and_runs_nothing_when_the_trace_stands_in_the_metadata",
        "interop/test_ai_sdk::test_with_the_trace_in_the_metadata_there_is_one_step_and_none_of_its_own_tools_runs",
        "interop/test_pydantic_ai::test_with_the_trace_in_the_metadata_it_asks_once_and_runs_no_tool_of_its_own",
        "interop/test_langchain::test_with_the_trace_in_the_metadata_it_asks_once_and_runs_no_tool_of_its_own",
        "spec/test_known_exchanges::test_open_webui_runs_the_calls_again_and_is_given_the_text",
        "spec/test_known_exchanges::test_promptfoo_reads_plain_text_where_the_calls_stand_in_the_metadata",
    ),
    "STREAM-01": proved("edge/test_edge_streaming::test_a_stream_says_what_the_same_request_says_without"),
    "STREAM-02": proved(
        "spec/test_whole_streams::test_text_arrives_while_the_agent_writes_it",
        "core/test_core_streamed::test_text_arrives_while_the_agent_goes_on",
        "core/test_core_streamed::test_an_agent_says_something_before_it_calls_its_tools",
    ),
    "STREAM-03": proved(
        "spec/test_whole_streams::test_the_stream_and_the_reply_are_one_thing",
        "core/test_core_streamed::test_calls_are_told_in_the_order_in_which_they_began",
    ),
    "STREAM-04": proved("edge/test_edge_streaming::test_a_stream_says_what_the_same_request_says_without"),
    "STREAM-05": proved("edge/test_edge_streaming::test_usage_is_one_more_chunk_when_asked_for"),
    "STREAM-06": proved(
        "spec/test_whole_streams::test_the_stream_and_the_reply_are_one_thing",
        "spec/test_whole_streams::test_a_failure_is_an_http_error_before_the_first_event_and_an_event_after_it",
        "spec/test_whole_streams::test_a_reader_may_leave_after_any_event",
        "spec/test_whole_streams::test_a_reader_with_an_idempotency_key_may_leave_and_come_back",
        "core/test_core_streamed::test_who_asks_again_in_time_keeps_the_turn_going",
        "core/test_core_streamed::test_a_turn_that_lost_its_place_runs_anew_only_while_nothing_of_it_was_told",
        "edge/test_edge_streaming::test_a_comment_keeps_an_idle_stream_open",
        "cli/test_wire::test_a_client_that_reads_a_byte_at_a_time_gets_all_of_it_and_holds_nobody_up",
    ),
    "STREAM-07": proved(
        "spec/test_whole_chat::test_the_official_client_talks_to_the_support_agent",
        "spec/test_whole_streams::test_the_stream_and_the_reply_are_one_thing",
        "spec/test_official_client::test_a_raw_response_has_our_headers_and_parses_as_any_other",
        "interop/test_installs::test_older_lines_of_the_official_client_are_served",
        "interop/test_node_client::test_its_streaming_helper_folds_all_but_the_results_of_the_calls",
    ),
    "HEALTH-01": proved("spec/test_whole_resources::test_a_sound_sandbox_is_healthy_as_published"),
    "HEALTH-02": proved(
        "spec/test_whole_resources::test_a_core_that_drains_is_unhealthy_and_refuses_turns",
        "edge/test_edge_resources::test_what_is_down_shows",
        "edge/test_edge_resources::test_a_core_that_is_gone_shows_and_its_return_too",
    ),
    "HEALTH-03": proved(
        "spec/test_whole_resources::test_a_sound_sandbox_is_healthy_as_published",
        "edge/test_edge_resources::test_the_error_rate_counts_5xx_only",
    ),
    "HEALTH-04": proved(
        "spec/test_whole_resources::test_a_sound_sandbox_is_healthy_as_published",
        "core/test_core_rpc::test_health_speaks_for_the_whole_each_service_and_what_it_depends_on",
        "edge/test_edge_resources::test_metrics_count_by_route_and_never_by_id",
        "cli/test_serve::test_the_core_is_measured_too",
    ),
    "USER-01": proved("spec/test_whole_resources::test_the_published_user_is_made_as_published"),
    "USER-02": proved(
        "edge/test_edge_resources::test_a_wrong_user_is_400",
        "edge/test_edge_resources::test_any_id_that_chat_takes_can_be_read",
        "core/test_core_users::test_a_user_is_made_under_a_plain_id_only",
    ),
    "USER-03": proved(
        "spec/test_whole_resources::test_the_same_user_again_is_prepared_anew",
        "spec/test_whole_resources::test_where_users_conflict_another_body_is_409",
        "core/test_core_users::test_a_user_prepared_during_its_first_turn_keeps_what_was_prepared",
    ),
    "USER-04": proved(
        "spec/test_whole_resources::test_a_deleted_user_is_gone_with_all_sessions",
        "core/test_core_users::test_deleting_a_user_in_mid_turn_ends_the_turn_and_nothing_rises",
    ),
    "USER-05": proved(
        "spec/test_whole_resources::test_the_published_user_is_made_as_published",
        "core/test_core_users::test_a_users_profile_and_metadata_reach_the_agent_with_the_requests_laid_over",
    ),
    "USER-06": proved(
        "spec/test_whole_chat::test_the_same_turn_over_http_and_grpc_is_the_same_turn",
        "core/test_core_sessions::test_the_scenario_asked_for_first_holds_and_another_is_reported_not_obeyed",
        "core/test_core_scenario_play::test_a_scenario_sets_world_user_and_instructions_and_the_request_wins",
        "core/test_core_forks::test_a_session_that_starts_over_may_start_in_another_scenario",
        "core/test_core_scenario_play::test_sessions_keep_the_scenario_that_they_began_with",
        "cli/test_scenarios::test_scenarios_are_read_at_start_and_on_sighup_while_open_sessions_keep_theirs",
        "cli/test_scenarios::test_where_it_is_strict_an_unknown_id_is_400_with_the_nearest",
    ),
    "SESSION-01": proved(
        "spec/test_whole_resources::test_sessions_are_listed_read_closed_and_deleted",
        "spec/test_whole_resources::test_turns_are_read_back_with_all_their_evidence",
        "spec/test_whole_retries::test_how_a_turn_came_about_is_read_back",
        "core/test_core_forks::test_what_the_agent_saw_is_read_back",
        "core/test_core_sessions::test_turns_are_listed_in_pages_with_failures_on_the_first",
    ),
    "SESSION-02": proved(
        "spec/test_whole_resources::test_a_world_is_read_after_any_turn_with_its_hash_and_changes",
        "core/test_core_world::test_between_two_worlds_stand_their_differences_and_nothing_else",
        "core/test_core_world::test_a_long_session_is_read_back_from_its_snapshots",
        "core/test_core_forks::test_a_session_that_starts_over_may_start_in_another_scenario",
    ),
    "SESSION-03": proved(
        "spec/test_whole_resources::test_a_session_can_be_opened_ahead_of_its_first_turn",
        "spec/test_whole_resources::test_a_session_deleted_in_mid_turn_ends_it_with_409",
        "core/test_core_sessions::test_deleting_a_session_ends_what_runs_and_what_waits_there_and_nothing_rises",
        "spec/test_whole_retries::test_a_fork_over_http_has_the_world_of_its_turn",
        "core/test_core_forks::test_a_fork_has_the_past_the_state_and_the_world_after_that_turn",
        "core/test_core_forks::test_a_fork_takes_the_path_to_its_turn_and_not_the_branches_beside_it",
        "core/test_core_forks::test_a_fork_that_exists_is_returned_as_it_is_and_a_wrong_origin_is_named",
    ),
    "ERR-01": proved(
        "spec/test_whole_chat::test_a_failed_turn_says_nothing_of_why_and_leaves_the_session_as_it_was",
        "spec/test_whole_resources::test_what_is_wrong_is_400_in_the_published_shape",
        "edge/test_edge_access::test_past_the_limit_it_is_429_but_never_for_health",
        "edge/test_edge_errors::test_every_path_and_method_fails_in_the_one_shape",
    ),
    "ERR-02": proved(
        "spec/test_whole_resources::test_what_is_no_json_is_400_and_never_500",
        "edge/test_edge_bodies::test_what_is_wrong_is_400_and_named",
        "edge/test_edge_bodies::test_text_keeps_every_character",
        "edge/test_edge_errors::test_a_body_too_large_keeps_the_connection",
        "edge/test_edge_errors::test_another_content_type_is_415",
        "edge/test_edge_openapi::test_schemathesis_finds_nothing",
    ),
    "ERR-03": proved(
        "spec/test_official_client::test_what_is_refused_for_now_is_tried_again_when_we_said_and_runs_once",
        "spec/test_official_client::test_what_a_retry_cannot_cure_is_asked_once_though_the_client_would_try_again",
        "spec/test_whole_resources::test_a_core_that_drains_is_unhealthy_and_refuses_turns",
        "spec/test_whole_chat::test_a_turn_past_its_deadline_is_504_and_not_to_be_retried",
        "edge/test_edge_errors::test_every_code_of_the_core_is_told_as_the_table_says",
        "edge/test_edge_errors::test_a_missing_key_on_every_route_is_401",
    ),
    "ERR-04": proved(
        "spec/test_whole_chat::test_a_failed_turn_says_nothing_of_why_and_leaves_the_session_as_it_was",
        "core/test_core_rpc::test_an_unexpected_failure_shows_nothing_of_itself",
        "edge/test_edge_errors::test_an_unexpected_failure_shows_nothing_of_itself",
    ),
    "ERR-05": proved(
        "core/test_core_rpc::test_every_error_reaches_its_caller_with_code_reason_field_and_delay",
        "edge/test_edge_errors::test_the_table_has_every_code_there_is",
        "edge/test_edge_errors::test_every_code_of_the_core_is_told_as_the_table_says",
    ),
    "SEC-01": proved(
        "core/test_core_rpc::test_a_key_opens_what_its_scopes_say",
        "core/test_core_rpc::test_two_namespaces_never_meet_and_a_key_cannot_speak_for_another",
        "edge/test_edge_access::test_each_route_takes_its_scope_and_no_other",
        "edge/test_edge_access::test_a_key_comes_in_either_header",
        "cli/test_keys::test_only_hashes_are_held",
    ),
    "SEC-02": proved(
        "core/test_core_rpc::test_over_tcp_a_call_without_a_valid_key_is_refused",
        "core/test_core_rpc::test_a_unix_socket_is_its_owners_alone_and_needs_no_key",
        "core/test_core_rpc::test_a_client_whose_certificate_is_trusted_needs_no_key",
        "edge/test_edge_access::test_without_keys_a_tunnel_is_refused",
        "cli/test_refusals::test_without_a_key_nothing_is_opened_to_others",
        "cli/test_access::test_without_keys_a_foreign_host_name_is_told_how_to_make_one",
    ),
    "SEC-03": proved(
        "cli/test_access::test_https_from_tls_1_2_on",
        "cli/test_access::test_an_edge_reaches_its_core_by_mutual_tls_and_others_do_not",
    ),
    "SEC-04": proved(
        "edge/test_edge_access::test_past_the_limit_it_is_429_but_never_for_health",
        "edge/test_edge_access::test_the_bucket_refills_steadily",
        waits_for="a limit that replicas share",
    ),
    "SEC-05": proved(
        "spec/test_whole_resources::test_what_does_not_fit_any_more_says_so",
        "core/test_core_waiting::test_beyond_what_a_core_can_carry_turns_are_refused_at_once",
        "core/test_core_waiting::test_one_key_holds_half_at_most_while_others_are_active",
        "core/test_core_waiting::test_whatever_comes_and_goes_no_place_is_lost_or_given_twice",
    ),
    "SEC-06": proved(
        "edge/test_edge_access::test_each_request_is_one_line",
        "edge/test_edge_access::test_bodies_are_logged_when_asked_for_and_redacted",
        "core/test_core_agents::test_each_turn_has_a_line_in_the_log_with_who_what_and_how_it_went",
        "cli/test_access::test_no_secret_reaches_the_log",
    ),
    "SEC-07": proved(
        "edge/test_edge_access::test_a_sane_request_id_is_kept",
        "core/test_core_agents::test_each_turn_has_a_line_in_the_log_with_who_what_and_how_it_went",
    ),
    "SEC-08": proved(
        "spec/test_whole_resources::test_what_does_not_fit_any_more_says_so",
        "core/test_core_sessions::test_a_full_session_says_so_and_can_be_read",
        "core/test_core_tools::test_sixty_four_calls_are_a_turns_bound",
        "core/test_core_tools::test_a_result_of_a_mebibyte_is_the_bound",
        "core/test_core_streams::test_what_would_not_pass_the_stream_fails_its_own_turn_alone",
        "storage/test_sessions_contract::test_idle_sessions_are_pruned_with_all_that_is_theirs",
        "cli/test_serve::test_sessions_past_their_time_are_dropped",
    ),
    "GRPC-01": proved(
        "spec/test_turn_cases::test_the_same_turns_have_the_same_answers_through_every_door",
        "spec/test_whole_chat::test_the_same_turn_over_http_and_grpc_is_the_same_turn",
        "core/test_core_tools::test_a_tool_called_with_a_turns_token_is_part_of_that_turn",
        "project/test_readme::test_the_grpc_client_that_is_shown_runs",
    ),
    "GRPC-02": proved(
        "core/test_core_rpc::test_reflection_lists_our_services_without_a_key",
        "core/test_core_rpc::test_a_callers_deadline_reaches_the_agent_and_its_tools",
        "core/test_core_failing_turns::test_a_caller_who_leaves_in_mid_turn_leaves_nothing_behind",
        "core/test_core_streams::test_a_turn_that_is_cancelled_stops_is_answered_so_and_leaves_nothing",
    ),
    "GRPC-03": proved("spec/test_manifest::test_the_contracts_are_generated_linted_and_checked_for_breaking_changes"),
    "GRPC-04": proved(
        "core/test_core_rpc::test_draining_lets_turns_finish_refuses_new_ones_and_turns_unhealthy",
        "core/test_core_rpc::test_an_idle_core_stops_at_once_though_an_edge_keeps_its_stream_open",
        "cli/test_serve::test_a_turn_in_flight_finishes_while_new_ones_are_refused",
        "cli/test_serve::test_an_idle_server_stops_cleanly_and_soon",
    ),
}
