#include "sources/plant_publisher.h"

#include <fstream>
#include <thread>

namespace takt {
namespace {

/// At low rates a message goes out with what is due; the plant is asked this often.
constexpr Duration kTick = 5 * kMillisecond;
constexpr Duration kAnswerWait = 5 * kSecond;
constexpr std::size_t kLargestEvent = 640;

/// How many events are due, by rate, duration and number.
class Schedule {
  public:
    Schedule(const PlantPublishOptions& options, Clock& clock)
        : options_(options), clock_(clock), started_(clock.monotonic()) {}

    Duration elapsed() const { return clock_.monotonic() - started_; }
    bool over(std::uint64_t made) const {
        if (options_.events > 0 && made >= static_cast<std::uint64_t>(options_.events)) return true;
        return options_.duration.count() > 0 && elapsed() >= options_.duration.count();
    }
    std::uint64_t due(std::uint64_t made) const {
        const double seconds = static_cast<double>(elapsed()) / static_cast<double>(kSecond);
        const auto wanted = static_cast<std::uint64_t>(seconds * options_.rate);
        std::uint64_t due = wanted > made ? wanted - made : 0;
        if (options_.events > 0) due = std::min(due, static_cast<std::uint64_t>(options_.events) - made);
        return due;
    }

  private:
    const PlantPublishOptions& options_;
    Clock& clock_;
    Timestamp started_;
};

class Progress {
  public:
    Progress(const std::function<void(const PlantPublished&)>& tell, const Schedule& schedule)
        : tell_(tell), schedule_(schedule) {}
    void maybe(PlantPublished& published) {
        published.elapsed = schedule_.elapsed();
        if (!tell_ || published.elapsed < next_) return;
        next_ = published.elapsed + kSecond;
        tell_(published);
    }

  private:
    const std::function<void(const PlantPublished&)>& tell_;
    const Schedule& schedule_;
    Duration next_ = kSecond;
};

Result<PlantPublished> write_file(const PlantPublishOptions& options, PlantSimulator& plant,
                                  const std::atomic<bool>& stop, const std::function<void(const PlantPublished&)>& tell,
                                  Clock& clock) {
    std::uint64_t total = static_cast<std::uint64_t>(options.events);
    if (total == 0)
        total = static_cast<std::uint64_t>(options.rate * std::chrono::duration<double>(options.duration).count());
    if (total == 0) return Error{"C532", "a file needs an end: say how many events, or for how long"};
    std::ofstream file(options.file, std::ios::binary);
    PlantPublished published;
    const Schedule schedule(options, clock);
    Progress progress(tell, schedule);
    std::string bytes;
    while (published.events < total && !stop.load(std::memory_order_relaxed) && file) {
        bytes.clear();
        for (int i = 0; i < 1000 && published.events < total; ++i, ++published.events) {
            plant.next(options.json ? EventEncoding::json : EventEncoding::flatbuffers_prefixed, false, bytes);
            if (options.json) bytes += '\n';
        }
        file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        published.bytes += bytes.size();
        progress.maybe(published);
    }
    file.close();
    if (!file) return Error{"E533", fmt::format("cannot write {}", options.file)};
    published.messages = published.confirmed = published.events;
    published.elapsed = schedule.elapsed();
    return published;
}

/// A window of messages and the inbox that their answers come to.
class PublishWindow {
  public:
    PublishWindow(NatsConnection& connection, std::int64_t size, Clock& clock)
        : connection_(connection), size_(size), clock_(clock) {}

    Status open() {
        natsInbox* name = nullptr;
        if (const natsStatus status = natsInbox_Create(&name); status != NATS_OK)
            return nats_error("E532", "no inbox", status);
        inbox_ = name;
        natsInbox_Destroy(name);
        natsSubscription* made = nullptr;
        if (const natsStatus status = natsConnection_SubscribeSync(&made, connection_.get(), inbox_.c_str());
            status != NATS_OK)
            return nats_error("E532", "no subscription to our inbox", status);
        subscription_.reset(made);
        natsSubscription_SetPendingLimits(made, -1, -1);
        return {};
    }
    Status send(std::string_view subject, const std::string& bytes, PlantPublished& published) {
        if (Status room = wait(size_ - 1, published); !room.ok()) return room;
        const std::string to(subject);
        const natsStatus status = natsConnection_PublishRequest(connection_.get(), to.c_str(), inbox_.c_str(),
                                                                bytes.data(), static_cast<int>(bytes.size()));
        if (status != NATS_OK) return nats_error("E532", fmt::format("cannot publish to {}", to), status);
        ++waiting_;
        return {};
    }
    /// Until at most `left` messages wait for their answer.
    Status wait(std::int64_t left, PlantPublished& published) {
        Timestamp last = clock_.monotonic();
        while (waiting_ > 0) {
            natsMsg* received = nullptr;
            const bool must = waiting_ > left;
            const natsStatus status = natsSubscription_NextMsg(&received, subscription_.get(), must ? 100 : 0);
            const NatsMessageHandle answer(received);
            if (status == NATS_OK) {
                --waiting_;
                last = clock_.monotonic();
                const std::string_view text = nats_data(received);
                if (text.find("\"error\"") != std::string_view::npos)
                    return Error{"E532", fmt::format("the stream refuses a message: {}", text)};
                ++published.confirmed;
            } else if (status == NATS_NO_RESPONDERS) {
                return Error{
                    "E532",
                    "no stream takes what the plant publishes: is JetStream on, and does the stream hold plant.>?"};
            } else if (!must) {
                return {};
            } else if (clock_.monotonic() - last > kAnswerWait) {
                // Lost with a connection: they are stored or not, and nobody will tell.
                published.unknown += static_cast<std::uint64_t>(waiting_);
                waiting_ = 0;
            }
        }
        return {};
    }

  private:
    NatsConnection& connection_;
    std::int64_t size_;
    Clock& clock_;
    std::string inbox_;
    NatsSubscriptionHandle subscription_;
    std::int64_t waiting_ = 0;
};

Status make_stream(const PlantPublishOptions& options, NatsConnection& connection) {
    Result<JetStreamHandle> jetstream = connection.jetstream(std::chrono::seconds(5));
    if (!jetstream.ok()) return jetstream.error();
    jsStreamInfo* found = nullptr;
    natsStatus status = js_GetStreamInfo(&found, jetstream->get(), options.stream.c_str(), nullptr, nullptr);
    const StreamInfoHandle info(found);
    if (status == NATS_NOT_FOUND) {
        jsStreamConfig config;
        jsStreamConfig_Init(&config);
        const char* subjects[] = {"plant.>"};
        config.Name = options.stream.c_str();
        config.Subjects = subjects;
        config.SubjectsLen = 1;
        config.Storage = js_FileStorage;
        config.MaxBytes = static_cast<std::int64_t>(options.stream_limit.value);
        config.Discard = js_DiscardOld;
        status = js_AddStream(nullptr, jetstream->get(), &config, nullptr, nullptr);
    }
    if (status != NATS_OK)
        return nats_error("E532", fmt::format("stream {} at {}", options.stream, describe_servers(options)), status);
    return {};
}

}  // namespace

OptionTable<PlantPublishOptions> PlantPublishOptions::options() {
    OptionTable<PlantPublishOptions> table;
    add_nats_options(table);
    add_plant_options(table);
    table.optional("stream", &PlantPublishOptions::stream, "stream to publish to; made when it is missing");
    table.optional("stream_limit", &PlantPublishOptions::stream_limit, "size of a stream that is made")
        .from(SizeBytes{1 << 20});
    table.optional("duration", &PlantPublishOptions::duration, "how long; 0: no limit");
    table.optional("events", &PlantPublishOptions::events, "how many events; 0: no limit").from(0);
    table
        .optional("message_bytes", &PlantPublishOptions::message_bytes,
                  "fill messages with events up to this size; 0: one event each")
        .to(SizeBytes{1 << 20});
    table.optional("window", &PlantPublishOptions::window, "messages that may wait for their answer").from(1).to(65536);
    table.optional("json", &PlantPublishOptions::json, "JSON instead of FlatBuffers, one event a message");
    table.optional("file", &PlantPublishOptions::file, "write a file instead of publishing");
    table.optional("master_data", &PlantPublishOptions::master_data, "folder to write the plant's tables to");
    return table;
}

Result<PlantPublished> publish_plant(const PlantPublishOptions& options, const std::atomic<bool>& stop,
                                     const std::function<void(const PlantPublished&)>& tell, Clock& clock) {
    Result<std::unique_ptr<PlantSimulator>> made = PlantSimulator::make(options);
    if (!made.ok()) return made.error();
    PlantSimulator& plant = **made;
    if (!options.master_data.empty()) {
        if (Status written = plant.write_master_data(options.master_data); !written.ok()) return written.error();
    }
    if (!options.file.empty()) return write_file(options, plant, stop, tell, clock);

    Result<std::unique_ptr<NatsConnection>> connection = NatsConnection::connect(options, NatsConnection::Use::publish);
    if (!connection.ok()) return connection.error();
    if (Status stream = make_stream(options, **connection); !stream.ok()) return stream.error();
    PublishWindow window(**connection, options.window, clock);
    if (Status opened = window.open(); !opened.ok()) return opened.error();

    const std::size_t message_bytes = options.json ? 0 : options.message_bytes.value;
    const EventEncoding encoding = options.json         ? EventEncoding::json
                                   : message_bytes == 0 ? EventEncoding::flatbuffers
                                                        : EventEncoding::flatbuffers_prefixed;
    PlantPublished published;
    const Schedule schedule(options, clock);
    Progress progress(tell, schedule);
    std::string bytes;
    while (!schedule.over(published.events) && !stop.load(std::memory_order_relaxed)) {
        std::uint64_t due = schedule.due(published.events);
        if (due == 0) std::this_thread::sleep_for(std::chrono::nanoseconds(kTick));
        while (due > 0 && !stop.load(std::memory_order_relaxed)) {
            bytes.clear();
            const PlantEvent& first = plant.next(encoding, message_bytes > 0, bytes);
            const std::string_view subject = plant.subject(first);
            std::uint64_t count = 1;
            for (; count < due && bytes.size() + kLargestEvent < message_bytes; ++count)
                plant.next(encoding, false, bytes);
            if (Status sent = window.send(subject, bytes, published); !sent.ok()) return sent.error();
            due -= count;
            published.events += count;
            ++published.messages;
            published.bytes += bytes.size();
            progress.maybe(published);
        }
        progress.maybe(published);
    }
    if (Status answered = window.wait(0, published); !answered.ok()) return answered.error();
    published.elapsed = schedule.elapsed();
    return published;
}

}  // namespace takt
