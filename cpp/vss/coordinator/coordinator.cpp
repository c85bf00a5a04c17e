#include "vss/coordinator/coordinator.h"

#include <algorithm>

#include "vss/coordinator/session.h"

namespace exshadow::vss {

Coordinator::Coordinator(Loop& loop, CoordinatorOptions options)
    : loop_(loop), options_(std::move(options)), alarms_(loop), changed_(loop) {
    if (!options_.slot) options_.slot = local_slot();
    if (!options_.import_slot) options_.import_slot = local_slot();
}

Coordinator::~Coordinator() {
    EXSHADOW_CHECK(closed_);  // else a writer may stay frozen
}

Result<Uuid> Coordinator::register_writer(std::shared_ptr<Writer> writer) {
    Subscription added{writer, writer->options()};
    if (added.options.instance_id.is_nil()) added.options.instance_id = loop_.new_uuid();
    const Uuid instance = added.options.instance_id;
    for (const auto& one : writers_) {
        if (one.options.instance_id == instance) {
            return vss_error(HResult::vss_e_writer_already_subscribed,
                             "writer '" + added.options.name + "', instance " + instance.text());
        }
    }
    writers_.push_back(std::move(added));
    return instance;
}

Status Coordinator::unregister_writer(const Uuid& instance) {
    if (std::erase_if(writers_,
                      [&](const Subscription& one) { return one.options.instance_id == instance; }) != 0) {
        return {};
    }
    return vss_error(HResult::vss_e_object_not_found, "writer instance " + instance.text());
}

Status Coordinator::register_provider(std::shared_ptr<Provider> provider) {
    const auto& id = provider->facts().properties.provider_id;
    for (const auto& one : providers_) {
        if (one->facts().properties.provider_id == id)
            return vss_error(HResult::vss_e_provider_already_registered, "provider " + id.text());
    }
    providers_.push_back(std::move(provider));
    return {};
}

Status Coordinator::unregister_provider(const Uuid& id) {
    if (std::erase_if(providers_, [&](const std::shared_ptr<Provider>& one) {
            return one->facts().properties.provider_id == id;
        }) != 0) {
        return {};
    }
    return vss_error(HResult::vss_e_provider_not_registered, "provider " + id.text());
}

Result<std::shared_ptr<Session>> Coordinator::open() {
    if (closing_) return vss_error(HResult::vss_e_bad_state, "the coordinator is being closed");
    sessions_.push_back(std::make_shared<Session>(*this, loop_.new_uuid()));
    return sessions_.back();
}

void Coordinator::forget(const Session& session) {
    std::erase_if(sessions_, [&](const std::shared_ptr<Session>& one) { return one.get() == &session; });
    changed_.notify();
}

Task<void> Coordinator::close() {
    closing_ = true;
    // Side by side: a session that is slow to end must not keep another's writers frozen.
    TaskGroup ending(loop_);
    for (const auto& session : std::vector(sessions_)) ending.spawn(session->close());
    auto waiting = ending.wait();
    co_await std::move(waiting);
    while (!sessions_.empty()) co_await changed_.wait();
    if (!closed_) {
        auto quiet = alarms_.close();
        co_await std::move(quiet);
    }
    closed_ = true;
}

}  // namespace exshadow::vss
