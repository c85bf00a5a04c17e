// What a session does beside making sets: choosing providers, the creation slot, snapshots that exist,
// import, restore. On virtual time.
#include <doctest/doctest.h>

#include "session_bed.h"
#include "vss/documents.h"

using namespace exshadow;
using namespace exshadow::vss;
using namespace exshadow::vss::test;

namespace {

Json provider(int number, const char* type, Json more = Json::object()) {
    Json one{{"id", "bbbbbbbb-0000-0000-0000-00000000000" + std::to_string(number)},
             {"name", std::string("P") + std::to_string(number)},
             {"type", type}};
    one.update(more);
    return one;
}

Json hardware() {
    return provider(7, "hardware", {{"can", {"transport", "break", "resync"}}});
}

Json with_providers(std::vector<Json> providers) {
    auto world = usual_world();
    world["providers"] = std::move(providers);
    return world;
}

// Which provider takes C: in a new set, or the code of the refusal.
std::string chosen(const Json& world, const Uuid& named, SnapshotAttributes context) {
    Bed bed(world);
    const auto session = manager(bed, context);
    const Closing closing{bed, session};
    REQUIRE(session->start_snapshot_set().ok());
    const auto added = get(bed, session->add_to_snapshot_set("C:\\", named));
    if (!added.ok()) return std::string(find_hresult(hresult_of(added.error()))->name);
    for (const auto& one : bed.trace()) {
        if (one.event == "begin_prepare") return one.actor;
    }
    return "nobody";
}

Course make_persistent_set(Bed& bed, SnapshotAttributes more = SnapshotAttributes::no_flags) {
    Plan plan;
    plan.context = context::app_rollback | more;
    auto course = bed.backup(plan);
    REQUIRE(course.made);
    return course;
}

}  // namespace

TEST_CASE("providers are chosen by rank, or by name") {
    const auto world = with_providers({provider(1, "system"), provider(2, "software"), hardware()});
    const Uuid software = *Uuid::parse("bbbbbbbb-0000-0000-0000-000000000002");
    CHECK(chosen(world, {}, context::backup) == "P7");
    CHECK(chosen(world, software, context::backup) == "P2");
    CHECK(chosen(world, Uuid::from_words(1, 2), context::backup) == "VSS_E_PROVIDER_NOT_REGISTERED");
    CHECK(chosen(world, {}, context::client_accessible) == "P1");
    const auto transportable = context::backup | SnapshotAttributes::transportable;
    CHECK(chosen(world, {}, transportable) == "P7");
    CHECK(chosen(world, software, transportable) == "VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER");
    const auto soft = with_providers({provider(1, "system"), provider(2, "software")});
    CHECK(chosen(soft, {}, transportable) == "VSS_E_VOLUME_NOT_SUPPORTED");
    CHECK(chosen(with_providers({}), {}, context::backup) == "VSS_E_VOLUME_NOT_SUPPORTED");
}

TEST_CASE("a kind that a provider cannot make goes to another, and both kinds at once to nobody") {
    const auto world = with_providers({provider(1, "system", {{"kinds", {"differential"}}}),
                                       provider(2, "software", {{"kinds", {"plex"}}})});
    CHECK(chosen(world, {}, context::backup) == "P2");
    CHECK(chosen(world, {}, context::backup | SnapshotAttributes::plex) == "P2");
    CHECK(chosen(world, {}, context::backup | SnapshotAttributes::differential) == "P1");
    Bed bed(world);
    const auto session = manager(bed);
    const Closing closing{bed, session};
    const auto both = SnapshotAttributes::plex | SnapshotAttributes::differential;
    CHECK(code_of(session->set_context(both)) == HResult::vss_e_unsupported_context);
    CHECK(code_of(session->set_context(context::client_accessible | SnapshotAttributes::plex)) ==
          HResult::vss_e_unsupported_context);
}

TEST_CASE("a volume that nobody takes, that is not there, that is in the set already, and one too many") {
    auto world = with_providers({provider(2, "software", {{"volumes", {"D:\\"}}})});
    for (int i = 0; i < 70; ++i) world["volumes"].push_back({{"name", "V" + std::to_string(i) + "\\"}});
    CHECK(chosen(world, {}, context::backup) == "VSS_E_VOLUME_NOT_SUPPORTED");
    world["providers"][0].erase("volumes");
    Bed bed(world);
    const auto session = manager(bed, context::backup);
    const Closing closing{bed, session};
    CHECK(*get(bed, session->is_volume_supported({}, "C:\\")));
    CHECK(code_of(get(bed, session->is_volume_supported({}, "X:\\"))) == HResult::vss_e_object_not_found);
    REQUIRE(session->start_snapshot_set().ok());
    CHECK(code_of(get(bed, session->add_to_snapshot_set("X:\\", {}))) == HResult::vss_e_object_not_found);
    for (int i = 0; i < 64; ++i)
        REQUIRE(get(bed, session->add_to_snapshot_set("V" + std::to_string(i) + "\\", {})).ok());
    CHECK(code_of(get(bed, session->add_to_snapshot_set("V65\\", {}))) ==
          HResult::vss_e_maximum_number_of_volumes_reached);
}

TEST_CASE("one set at a time: the slot is free again after abort, release and a made set") {
    Bed bed;
    const auto first = manager(bed, context::file_share_backup);
    const auto second = manager(bed, context::file_share_backup);
    REQUIRE(first->start_snapshot_set().ok());
    CHECK(code_of(second->start_snapshot_set()) == HResult::vss_e_snapshot_set_in_progress);
    CHECK(get(bed, first->abort_backup()).ok());
    REQUIRE(second->start_snapshot_set().ok());
    REQUIRE(get(bed, second->add_to_snapshot_set("C:\\", {})).ok());
    CHECK(code_of(get(bed, second->add_to_snapshot_set("C:\\", {}))) == HResult::vss_e_object_already_exists);
    CHECK(get(bed, to_its_end([&] { return second->do_snapshot_set(); })).state == StepState::finished);
    const auto third = manager(bed, context::file_share_backup);
    REQUIRE(third->start_snapshot_set().ok());
    bed.run(third->close());
    CHECK(bed.slot_is_free());
    bed.run(first->close());
    bed.run(second->close());
}

TEST_CASE("sessions see the snapshots of their context") {
    Bed bed;
    const auto made = make_persistent_set(bed).snapshots;
    REQUIRE(made.size() == 2);
    for (const auto& [context, count] :
         {std::pair{context::all, 2U}, std::pair{context::app_rollback, 2U},
          std::pair{context::nas_rollback, 0U}, std::pair{context::backup, 0U}}) {
        const auto session = manager(bed, context);
        CHECK(get(bed, session->query_snapshots())->size() == count);
        CHECK(get(bed, session->snapshot_properties(made[0].snapshot_id))->set_id == made[0].set_id);
        CHECK(code_of(get(bed, session->snapshot_properties(Uuid{}))) == HResult::vss_e_object_not_found);
        CHECK(session->query_providers()->size() == 1);
        bed.run(session->close());
    }
}

TEST_CASE("deleting stops at the first failure and says where") {
    auto world = usual_world();
    world["providers"][0]["events"]["delete"] = {{"fail", "VSS_E_PROVIDER_VETO"}, {"times", 1}};
    Bed bed(world);
    const auto made = make_persistent_set(bed).snapshots;
    const auto session = manager(bed);
    const Closing closing{bed, session};
    const auto set = made[0].set_id;
    const auto failed = get(bed, session->delete_snapshots(set, ObjectType::snapshot_set, false));
    CHECK(failed->deleted == 0);
    CHECK(failed->failed_snapshot == made[0].snapshot_id);
    CHECK(failed->failure == HResult::vss_e_provider_veto);
    CHECK(get(bed, session->delete_snapshots(made[1].snapshot_id, ObjectType::snapshot, false))->deleted ==
          1);
    CHECK(get(bed, session->delete_snapshots(set, ObjectType::snapshot_set, true))->deleted == 1);
    CHECK(code_of(get(bed, session->delete_snapshots(set, ObjectType::snapshot_set, true))) ==
          HResult::vss_e_object_not_found);
    CHECK(code_of(get(bed, session->delete_snapshots(set, ObjectType::provider, true))) ==
          HResult::e_invalidarg);
}

TEST_CASE("a software provider's set cannot be broken, a hardware provider's can, by legal flags") {
    Bed soft;
    const auto session = manager(soft);
    const auto set = make_persistent_set(soft).snapshots[0].set_id;
    CHECK(code_of(get(soft, session->break_snapshot_set(set))) == HResult::vss_e_provider_veto);
    soft.run(session->close());

    Bed hard(with_providers({hardware()}));
    const auto breaker = manager(hard);
    const auto broken = make_persistent_set(hard).snapshots[0].set_id;
    CHECK(code_of(breaker->break_snapshot_set_ex(
              broken, BreakFlags::mask_luns | BreakFlags::make_read_write)) == HResult::e_invalidarg);
    CHECK(code_of(breaker->break_snapshot_set_ex(
              broken, BreakFlags::revert_identity_all | BreakFlags::revert_identity_none)) ==
          HResult::e_invalidarg);
    CHECK(get(hard,
              to_its_end([&] { return breaker->break_snapshot_set_ex(broken, BreakFlags::make_read_write); }))
              .state == StepState::finished);
    CHECK(code_of(get(hard, breaker->break_snapshot_set(broken))) == HResult::vss_e_object_not_found);
    CHECK(hard.snapshots() == 0);
    hard.run(breaker->close());
}

TEST_CASE("a transportable set is imported from its document: whole, in part, not at all") {
    auto world = with_providers({hardware()});
    for (const auto* given : {"whole", "part", "none"}) {
        CAPTURE(given);
        const std::string_view how = given;
        auto changed = world;
        if (how != "whole") {
            changed["providers"][0]["events"]["import"] = {{"fail", "VSS_E_MISSING_DISK"},
                                                           {"times", how == "part" ? 1 : 2}};
        }
        Bed bed(changed);
        const auto document = make_persistent_set(bed, SnapshotAttributes::transportable).document;
        CHECK(bed.snapshots() == 0);
        const auto session = manager(bed, context::all, document);
        const Closing closing{bed, session};
        const auto ended = get(bed, to_its_end([&] { return session->import_snapshots(); }));
        if (how == "whole") CHECK(ended.result == HResult::vss_s_async_finished);
        if (how == "part") {
            CHECK(ended.state == StepState::finished);
            CHECK(ended.result == HResult::vss_s_some_snapshots_not_imported);
        }
        if (how == "none") CHECK(ended.result == HResult::vss_e_missing_disk);
        CHECK(bed.snapshots() == (how == "whole" ? 2U : how == "part" ? 1U : 0U));
        CHECK(code_of(session->import_snapshots()) == HResult::vss_e_bad_state);  // once
    }
}

TEST_CASE("a local set's document is not imported") {
    Bed bed;
    const auto document = make_persistent_set(bed).document;
    const auto session = manager(bed, context::all, document);
    const Closing closing{bed, session};
    CHECK(get(bed, to_its_end([&] { return session->import_snapshots(); })).result ==
          HResult::vss_e_nontransportable_bcd);
    CHECK(code_of(bed.open()->initialize_for_backup("<no document")) == HResult::vss_e_invalid_xml_document);
}

TEST_CASE("persistent snapshots are exposed and reverted to, others are not") {
    Bed bed;
    const auto snapshot = make_persistent_set(bed).snapshots[0];
    const auto session = manager(bed);
    const Closing closing{bed, session};
    const auto id = snapshot.snapshot_id;
    CHECK(code_of(get(bed, session->unexpose_snapshot(id))) == HResult::vss_e_object_not_found);
    CHECK(code_of(get(bed, session->expose_snapshot(id, "dir", Exposure::locally, "X:"))) ==
          HResult::e_invalidarg);
    CHECK(*get(bed, session->expose_snapshot(id, "", Exposure::locally, "X:")) == "X:");
    CHECK(code_of(get(bed, session->expose_snapshot(id, "", Exposure::locally, "Y:"))) ==
          HResult::vss_e_object_already_exists);
    CHECK(get(bed, session->unexpose_snapshot(id)).ok());

    CHECK(get(bed, to_its_end([&] { return session->query_revert_status("C:\\"); })).result ==
          HResult::vss_e_object_not_found);
    CHECK(get(bed, session->revert_to_snapshot(id, true)).ok());
    CHECK(
        get(bed, to_its_end([&] { return session->query_revert_status(snapshot.original_volume); })).state ==
        StepState::finished);

    auto world = usual_world();
    world["snapshots"] = {{{"id", "cccccccc-0000-0000-0000-000000000001"},
                           {"set", "cccccccc-0000-0000-0000-000000000002"},
                           {"volume", "C:\\"},
                           {"provider", "bbbbbbbb-0000-0000-0000-000000000001"},
                           {"attributes", "no_auto_release"}}};
    Bed other(world);
    const auto brief = manager(other);
    const Uuid mortal = *Uuid::parse("cccccccc-0000-0000-0000-000000000001");
    CHECK(code_of(get(other, brief->expose_snapshot(mortal, "", Exposure::locally, "X:"))) ==
          HResult::vss_e_bad_state);
    CHECK(code_of(get(other, brief->revert_to_snapshot(mortal, true))) == HResult::vss_e_unsupported_context);
    other.run(brief->close());
}

// --- Restore.

namespace {

ComponentKey front_files(Bed& bed) {
    return {bed.machine().writers[0]->options().writer_id, {}, ComponentType::file_group, "", "files"};
}

}  // namespace

TEST_CASE("a restore goes through its two events, and what was chosen reaches the writers") {
    auto world = usual_world();
    world["writers"][0]["document"]["restore_target"] = "alternate";
    world["writers"][0]["document"]["pre_restore_failure"] = "no room";
    Bed bed(world);
    Plan plan;
    plan.components = {"Front"};
    const auto document = bed.backup(plan).document;
    const auto session = bed.open();
    const Closing closing{bed, session};
    REQUIRE(session->initialize_for_restore(document).ok());
    CHECK(get(bed, to_its_end([&] { return session->gather_writer_metadata(); })).state ==
          StepState::finished);
    const auto key = front_files(bed);
    CHECK(code_of(session->add_restore_subcomponent(key, {"", "files"})) == HResult::vss_e_bad_state);
    CHECK(session->set_selected_for_restore(key, true).ok());
    auto stranger = key;
    stranger.name = "other";
    CHECK(code_of(session->set_selected_for_restore(stranger, true)) == HResult::vss_e_object_not_found);
    CHECK(session->set_restore_options(key, "options").ok());
    CHECK(session->set_additional_restores(key, true).ok());
    CHECK(session->set_authoritative_restore(key, true).ok());
    CHECK(session->set_roll_forward(key, RollForward::partial, "here").ok());
    CHECK(session->set_restore_name(key, "new").ok());
    CHECK(code_of(session->set_restore_name(key, "\x01")) == HResult::e_invalidarg);
    CHECK(code_of(session->set_restore_options(key, "\x01")) == HResult::e_invalidarg);
    CHECK(code_of(session->set_roll_forward(key, RollForward{99}, "")) == HResult::e_invalidarg);
    CHECK(code_of(session->set_roll_forward(key, RollForward::partial, "")) == HResult::e_invalidarg);
    LocationMapping target;
    target.files = {"C:\\front", "*", false, standard_backup_type, "", {}};
    target.destination = "D:\\elsewhere";
    CHECK(session->add_new_target(key, target).ok());
    auto wrong = target;
    wrong.files.spec = "*.db";
    CHECK(code_of(session->add_new_target(key, wrong)) == HResult::vss_e_object_not_found);
    CHECK(code_of(session->set_ranges_file_path(key, 0, "x")) == HResult::vss_e_object_not_found);
    CHECK(code_of(session->set_file_restore_status(key, FileRestoreStatus::all)) == HResult::vss_e_bad_state);

    CHECK(get(bed, to_its_end([&] { return session->pre_restore(); })).state == StepState::finished);
    const auto parts = session->writer_components();
    REQUIRE(parts.ok());
    const auto& choice = parts->at(0).components.at(0).restore;
    CHECK(choice.target == RestoreTarget::alternate);
    CHECK(choice.pre_restore_failure == "no room");
    CHECK(choice.new_name == "new");
    CHECK(session->add_alternative_location_mapping(key, target).ok());
    CHECK(code_of(session->set_file_restore_status(key, FileRestoreStatus{99})) == HResult::e_invalidarg);
    CHECK(session->set_file_restore_status(key, FileRestoreStatus::all).ok());
    CHECK(get(bed, to_its_end([&] { return session->post_restore(); })).state == StepState::finished);
    CHECK(bed.of("Front").ends_with("backup_shutdown pre_restore post_restore"));
    CHECK(bed.of("Back").ends_with("backup_shutdown pre_restore"));
    CHECK(code_of(get(bed, session->abort_backup())) == HResult::vss_e_bad_state);
}

TEST_CASE("a writer that refuses a restore event is in the status, and the restore goes on") {
    for (const auto* event : {"pre_restore", "post_restore"}) {
        auto world = usual_world();
        world["writers"][0]["events"][event] = {{"fail", "VSS_E_WRITERERROR_NONRETRYABLE"}};
        Bed bed(world);
        const auto document = bed.backup({}).document;
        const auto session = bed.open();
        const Closing closing{bed, session};
        REQUIRE(session->initialize_for_restore(document).ok());
        CHECK(get(bed, to_its_end([&] { return session->gather_writer_metadata(); })).state ==
              StepState::finished);
        CHECK(get(bed, to_its_end([&] { return session->pre_restore(); })).state == StepState::finished);
        CHECK(get(bed, to_its_end([&] { return session->post_restore(); })).state == StepState::finished);
        CHECK(get(bed, to_its_end([&] { return session->gather_writer_status(); })).state ==
              StepState::finished);
        const auto statuses = session->writer_status();
        REQUIRE(statuses.ok());
        CHECK(statuses->at(0).failure == HResult::vss_e_writererror_nonretryable);
        CHECK(statuses->at(0).state == (std::string_view(event) == "pre_restore"
                                            ? WriterState::failed_at_pre_restore
                                            : WriterState::failed_at_post_restore));
    }
}

TEST_CASE("whole disks are recovered from snapshots of the document's set, by providers that can") {
    Bed bed(with_providers({hardware()}));
    const auto made = make_persistent_set(bed);
    const auto session = bed.open();
    const Closing closing{bed, session};
    REQUIRE(session->initialize_for_restore(made.document).ok());
    CHECK(code_of(session->recover_set(RecoveryFlags::no_flags)) == HResult::vss_e_bad_state);
    CHECK(code_of(get(bed, session->add_snapshot_to_recovery_set(Uuid{}, ""))) ==
          HResult::vss_e_snapshot_not_in_set);
    CHECK(get(bed, session->add_snapshot_to_recovery_set(made.snapshots[0].snapshot_id, "")).ok());
    CHECK(code_of(get(bed, session->add_snapshot_to_recovery_set(made.snapshots[1].snapshot_id, "X:\\"))) ==
          HResult::vss_e_object_not_found);
    CHECK(get(bed, to_its_end([&] { return session->recover_set(RecoveryFlags::no_flags); })).state ==
          StepState::finished);
    CHECK(bed.of("P7").ends_with("resync"));

    Bed soft;
    const auto other = make_persistent_set(soft);
    const auto restore = soft.open();
    REQUIRE(restore->initialize_for_restore(other.document).ok());
    CHECK(code_of(get(soft, restore->add_snapshot_to_recovery_set(other.snapshots[0].snapshot_id, ""))) ==
          HResult::vss_e_legacy_provider);
}

TEST_CASE("writers are left out by class and instance, or let in by class only") {
    const auto ids = [](Bed& bed, int i) {
        return bed.machine().writers[static_cast<std::size_t>(i)]->options();
    };
    const auto gathered = [](Bed& bed, const std::shared_ptr<Session>& session) {
        CHECK(get(bed, to_its_end([&] { return session->gather_writer_metadata(); })).state ==
              StepState::finished);
        std::string names;
        const auto metadata = session->writer_metadata();
        for (const auto& one : *metadata) names += one.name + " ";
        CHECK(session->writer_metadata_documents()->size() == metadata->size());
        bed.run(session->close());
        return names;
    };
    Bed bed;
    auto session = manager(bed, context::backup);
    CHECK(session->disable_writer_classes(std::vector{ids(bed, 0).writer_id}).ok());
    CHECK(session->disable_writer_instances(std::vector{ids(bed, 2).instance_id}).ok());
    CHECK(gathered(bed, session) == "Back ");
    session = manager(bed, context::backup);
    CHECK(session->disable_writer_classes(std::vector{ids(bed, 0).writer_id}).ok());
    CHECK(session->enable_writer_classes(std::vector{ids(bed, 0).writer_id}).ok());
    CHECK(gathered(bed, session) == "Front ");
    const auto twice = bed.coordinator().register_writer(bed.machine().writers[0]);
    CHECK(code_of(twice) == HResult::vss_e_writer_already_subscribed);
    CHECK(code_of(bed.coordinator().register_provider(bed.machine().providers[0])) ==
          HResult::vss_e_provider_already_registered);
}

TEST_CASE("components are chosen among those the writer has, once") {
    Bed bed;
    const auto session = manager(bed, context::backup);
    const Closing closing{bed, session};
    CHECK(get(bed, to_its_end([&] { return session->gather_writer_metadata(); })).state ==
          StepState::finished);
    auto key = front_files(bed);
    CHECK(code_of(session->add_component(key)) == HResult::e_invalidarg);
    key.instance_id = bed.machine().writers[0]->options().instance_id;
    CHECK(session->add_component(key).ok());
    CHECK(code_of(session->add_component(key)) == HResult::vss_e_object_already_exists);
    CHECK(session->set_previous_backup_stamp(key, "before").ok());
    CHECK(session->set_backup_options(key, "fast").ok());
    CHECK(code_of(session->set_backup_state({true, false, BackupType{99}, false})) == HResult::e_invalidarg);
    // What no document can hold is said at once, not when the backup is made and its document is saved.
    CHECK(code_of(session->set_backup_options(key, std::string("a\0b", 3))) == HResult::e_invalidarg);
    CHECK(code_of(session->set_previous_backup_stamp(key, "\xFF")) == HResult::e_invalidarg);
    key.name = "none";
    CHECK(code_of(session->add_component(key)) == HResult::vss_e_object_not_found);
    CHECK(code_of(session->set_backup_options(key, "fast")) == HResult::vss_e_object_not_found);
    CHECK(session->writer_components()->at(0).components.at(0).previous_backup_stamp == "before");
}

// --- Providers that are slow, or do not answer.

namespace {

// One volume each: C: of P1, D: of P2.
Json two_makers() {
    return with_providers({provider(1, "software", {{"volumes", {"C:\\"}}, {"can", {"revert", "expose"}}}),
                           provider(2, "software", {{"volumes", {"D:\\"}}})});
}

}  // namespace

TEST_CASE("a revert may take longer than a provider's other calls, and the session's end stops the waiting") {
    auto world = usual_world();  // calls of providers have 900 ms
    world["providers"][0]["events"]["revert_status"] = {{"delay", 5000}};
    Bed bed(world);
    const auto made = make_persistent_set(bed);
    const auto session = manager(bed);
    const Closing closing{bed, session};
    REQUIRE(get(bed, session->revert_to_snapshot(made.snapshots[0].snapshot_id, false)).ok());
    std::optional<StepStatus> status;
    bed.run(keep(to_its_end([&] { return session->query_revert_status(made.snapshots[0].original_volume); }),
                 &status));
    CHECK(status->state == StepState::finished);
}

TEST_CASE("a resynchronisation and an import may take as long as their data takes") {
    for (const auto* const slow : {"resync", "import"}) {
        CAPTURE(slow);
        auto one = hardware();
        one["events"][slow] = {{"delay", 5000}};
        Bed bed(with_providers({one}));
        const auto made = make_persistent_set(bed, SnapshotAttributes::transportable);
        std::optional<StepStatus> status;
        {
            const auto importer = manager(bed, context::all, made.document);
            const Closing closing{bed, importer};
            bed.run(keep(to_its_end([&] { return importer->import_snapshots(); }), &status));
            CHECK(status->state == StepState::finished);
        }
        const auto session = bed.open();
        const Closing closing{bed, session};
        REQUIRE(session->initialize_for_restore(made.document).ok());
        const auto parsed = parse_backup_document(made.document);
        REQUIRE(parsed.ok());
        REQUIRE(get(bed,
                    session->add_snapshot_to_recovery_set(parsed->snapshots.at(0).properties.snapshot_id, ""))
                    .ok());
        bed.run(keep(to_its_end([&] { return session->recover_set(RecoveryFlags::no_flags); }), &status));
        CHECK(status->state == StepState::finished);
    }
}

TEST_CASE("auto-release snapshots go even when one provider does not say what it has") {
    for (const auto* const broken : {"/providers/0/events/query", "/providers/1/events/query"}) {
        auto world = two_makers();
        world[Json::json_pointer(broken)] = {{"fail", "VSS_E_PROVIDER_VETO"}};
        Bed bed(world);
        CHECK(bed.backup({}).made);
        CHECK(bed.snapshots() == 0);
    }
}

TEST_CASE("a slow deletion is waited for at the session's end, and one that fails is told") {
    for (const bool fails : {false, true}) {
        auto world = usual_world();  // an abort has 50 ms
        world["providers"][0]["events"]["delete"] =
            fails ? Json{{"fail", "VSS_E_PROVIDER_VETO"}} : Json{{"delay", 300}};
        std::vector<std::string> troubles;
        Bed bed(world, 1, local_slot(), [&](CoordinatorOptions& options) {
            options.trouble = [&](const Error& error) { troubles.push_back(error.message()); };
        });
        CHECK(bed.backup({}).made);
        CHECK(bed.snapshots() == (fails ? 2 : 0));
        CHECK(troubles.size() == (fails ? 2 : 0));
        for (const auto& one : troubles)
            CHECK(one.find("is left: provider 'Maker' refused") != std::string::npos);
    }
}

TEST_CASE("what a failed set leaves is said with its failure") {
    auto world = two_makers();
    world["providers"][0]["events"]["delete"] = {{"fail", "VSS_E_PROVIDER_VETO"}};
    world["providers"][1]["events"]["post_final_commit"] = {{"fail", "VSS_E_PROVIDER_VETO"}};
    Bed bed(world);
    const auto course = bed.backup({});
    CHECK_FALSE(course.made);
    CHECK(course.steps.at("DoSnapshotSet").detail.find("is left: provider 'P1' refused") !=
          std::string::npos);
}

TEST_CASE("a provider that does not say what it has hides nobody else's snapshots") {
    auto world = two_makers();
    world["providers"][1]["events"]["query"] = {{"fail", "VSS_E_PROVIDER_VETO"}};
    world["snapshots"] = {{{"id", "cccccccc-0000-0000-0000-000000000001"},
                           {"set", "cccccccc-1111-0000-0000-000000000001"},
                           {"set_size", 1},
                           {"volume", "C:\\"},
                           {"provider", "bbbbbbbb-0000-0000-0000-000000000001"}},
                          {{"id", "cccccccc-0000-0000-0000-000000000002"},
                           {"set", "cccccccc-1111-0000-0000-000000000002"},
                           {"set_size", 2},
                           {"volume", "C:\\"},
                           {"provider", "bbbbbbbb-0000-0000-0000-000000000001"}}};
    Bed bed(world);
    const auto session = manager(bed);
    const Closing closing{bed, session};
    const auto known = *Uuid::parse("cccccccc-0000-0000-0000-000000000001");
    CHECK(get(bed, session->snapshot_properties(known)).ok());
    CHECK(code_of(get(bed, session->snapshot_properties(Uuid::from_words(1, 2)))) ==
          HResult::vss_e_provider_veto);
    CHECK(code_of(get(bed, session->query_snapshots())) == HResult::vss_e_provider_veto);
    const auto half = *Uuid::parse("cccccccc-1111-0000-0000-000000000002");
    CHECK(code_of(get(bed, session->delete_snapshots(half, ObjectType::snapshot_set, true))) ==
          HResult::vss_e_provider_veto);
    const auto whole = *Uuid::parse("cccccccc-1111-0000-0000-000000000001");
    CHECK(get(bed, session->delete_snapshots(whole, ObjectType::snapshot_set, true))->deleted == 1);
}

TEST_CASE("one import runs at a time among those who share the slot") {
    auto one = hardware();
    one["events"]["import"] = {{"delay", 300}, {"times", 2}};
    const auto slot = local_slot();
    Bed bed(with_providers({one}), 1, local_slot(),
            [&](CoordinatorOptions& options) { options.import_slot = slot; });
    const auto made = make_persistent_set(bed, SnapshotAttributes::transportable);
    const auto session = manager(bed, context::all, made.document);
    {
        const Closing closing{bed, session};
        REQUIRE(*slot->try_take());
        std::optional<StepStatus> status;
        bed.run(keep(to_its_end([&] { return session->import_snapshots(); }), &status));
        CHECK(status->result == HResult::vss_e_snapshot_set_in_progress);
        slot->give_back();
    }
    const auto again = manager(bed, context::all, made.document);
    const Closing closing{bed, again};
    std::optional<StepStatus> status;
    bed.run(keep(to_its_end([&] { return again->import_snapshots(); }), &status));
    CHECK(status->state == StepState::finished);
    CHECK(*slot->try_take());  // free again
}
