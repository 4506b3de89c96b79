//! `Source`, `Committer` and `Sink`: what the worker relies on, of whatever keeps the log.
//!
//! Here stands which world keeps which behaviour; what each is, is written in `starting.rs`, `reading.rs` and `writing.rs`.

use crate::worlds::{Embedded, Memory, Real};
use crate::{reading::*, starting::*, writing::*};

/// Tests of a world: each behaviour under its own name.
macro_rules! keeps {
    ($world:ident on $topic:ident: $(#[test] fn $behaviour:ident;)+) => {$(
        #[tokio::test]
        async fn $behaviour() {
            let world = super::$world::build(schemas::topics::$topic).await;
            super::$behaviour(&world).await;
            world.end().await;
        }
    )+};
}

/// It keeps every record, takes any and stamps all of them: it has no end that could be lost, no size that could be too large,
/// and no topic that producers stamp.
mod memory {
    keeps! { Memory on RAW:
        #[test] fn a_first_start_is_told_of_every_partition_at_0_and_that_is_committed;
        #[test] fn a_new_member_goes_on_at_the_commit_with_its_text_and_reads_again_what_was_not_committed;
        #[test] fn a_commit_of_one_group_moves_no_other;
        #[test] fn records_come_as_they_were_written_in_the_order_of_their_partition_and_stamped_by_the_log;
        #[test] fn a_partition_that_is_stopped_stands_alone_and_goes_on_without_a_gap;
        #[test] fn whatever_is_stopped_and_let_go_each_record_comes_once_and_in_order;
        #[test] fn ready_gives_what_is_there_of_partitions_that_may_be_read_and_never_an_event;
        #[test] fn dropping_a_wait_for_the_next_event_loses_nothing;
        #[test] fn what_a_write_has_returned_for_is_read_in_its_partition_in_order;
    }
}

mod embedded {
    keeps! { Embedded on RAW:
        #[test] fn a_first_start_is_told_of_every_partition_at_0_and_that_is_committed;
        #[test] fn a_new_member_goes_on_at_the_commit_with_its_text_and_reads_again_what_was_not_committed;
        #[test] fn a_commit_of_one_group_moves_no_other;
        #[test] fn records_come_as_they_were_written_in_the_order_of_their_partition_and_stamped_by_the_log;
        #[test] fn a_partition_that_is_stopped_stands_alone_and_goes_on_without_a_gap;
        #[test] fn whatever_is_stopped_and_let_go_each_record_comes_once_and_in_order;
        #[test] fn ready_gives_what_is_there_of_partitions_that_may_be_read_and_never_an_event;
        #[test] fn dropping_a_wait_for_the_next_event_loses_nothing;
        #[test] fn what_a_write_has_returned_for_is_read_in_its_partition_in_order;
        #[test] fn a_commit_behind_the_end_of_the_log_stops_the_start_and_names_the_way_on;
        #[test] fn of_a_batch_the_record_that_is_too_large_is_refused_alone;
    }
    keeps! { Embedded on ENRICHED:
        #[test] fn of_a_topic_that_producers_stamp_a_record_carries_their_time;
    }
}

mod real {
    keeps! { Real on RAW:
        #[test] fn a_first_start_is_told_of_every_partition_at_0_and_that_is_committed;
        #[test] fn a_new_member_goes_on_at_the_commit_with_its_text_and_reads_again_what_was_not_committed;
        #[test] fn a_commit_of_one_group_moves_no_other;
        #[test] fn records_come_as_they_were_written_in_the_order_of_their_partition_and_stamped_by_the_log;
        #[test] fn a_partition_that_is_stopped_stands_alone_and_goes_on_without_a_gap;
        #[test] fn whatever_is_stopped_and_let_go_each_record_comes_once_and_in_order;
        #[test] fn ready_gives_what_is_there_of_partitions_that_may_be_read_and_never_an_event;
        #[test] fn dropping_a_wait_for_the_next_event_loses_nothing;
        #[test] fn what_a_write_has_returned_for_is_read_in_its_partition_in_order;
        #[test] fn a_commit_behind_the_end_of_the_log_stops_the_start_and_names_the_way_on;
        #[test] fn of_a_batch_the_record_that_is_too_large_is_refused_alone;
    }
    keeps! { Real on ENRICHED:
        #[test] fn of_a_topic_that_producers_stamp_a_record_carries_their_time;
    }
}
