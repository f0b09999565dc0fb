#include "pipeline/plan/planner.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/base/hash.h"
#include "pipeline/plan/clock_step.h"
#include "pipeline/plan/tables.h"

namespace takt {
namespace {

constexpr std::string_view kSections[] = {"pipeline", "engine",   "sources", "tables",  "calendars",
                                          "steps",    "postings", "sinks",   "include", "dead_letters"};

struct SourceTime {
    std::string event;
    std::string recorded;
    std::chrono::nanoseconds out_of_order{0};
    std::chrono::nanoseconds future{0};
    std::chrono::nanoseconds idle{0};
    std::string not_before;

    static OptionTable<SourceTime> options() {
        using namespace std::chrono_literals;
        OptionTable<SourceTime> table;
        table.optional("event", &SourceTime::event, "field that says when it happened; without it the ingest time");
        table.optional(
            "recorded", &SourceTime::recorded,
            "field that says when it was written down; `future` is judged against it, or else against the ingest time");
        table
            .optional("out_of_order", &SourceTime::out_of_order,
                      "the watermark is this far behind the highest event time")
            .from(0ns);
        table.optional("future", &SourceTime::future, "an event time later than recorded by more is FUTURE_TIME")
            .from(0ns);
        table.optional("idle", &SourceTime::idle, "a source that has nothing for so long does not hold the watermark")
            .from(0ns);
        table.optional("not_before", &SourceTime::not_before,
                       "an event time earlier than this instant (RFC 3339) is CLOCK_INVALID");
        return table;
    }
};

struct SourceSection {
    std::string id;
    std::string correlation;
    std::string partition;
    ConfigNode time;

    static OptionTable<SourceSection> options() {
        OptionTable<SourceSection> table;
        table.optional("id", &SourceSection::id, "field with the event's own id: names it in dead letters and lineage");
        table.optional("correlation", &SourceSection::correlation,
                       "field that goes with every posting and dead letter");
        table.optional("partition", &SourceSection::partition,
                       "string field: each of its values has a watermark of its own");
        table.optional("time", &SourceSection::time,
                       "what time means: event, recorded, out_of_order, future, not_before, idle");
        return table;
    }
};

struct EngineSection {
    std::int64_t lanes = 0;
    std::chrono::nanoseconds epoch{100'000'000};
    std::int64_t epoch_messages = 0;
    SizeBytes epoch_bytes{64u << 20};

    static OptionTable<EngineSection> options() {
        using namespace std::chrono_literals;
        OptionTable<EngineSection> table;
        table.optional("lanes", &EngineSection::lanes, "owners of keys that work side by side; 0: as many as cores")
            .from(0)
            .to(64);
        table.optional("epoch", &EngineSection::epoch, "how often input is cut").from(1ms).to(60s);
        table.optional("epoch_messages", &EngineSection::epoch_messages, "cut after so many messages; 0: no such limit")
            .from(0);
        table.optional("epoch_bytes", &EngineSection::epoch_bytes, "cut after so many bytes");
        return table;
    }
};

struct DeadLetterSection {
    std::optional<std::int64_t> most;
    std::optional<double> share;
    std::int64_t least_events = 1000;
    std::chrono::nanoseconds within = std::chrono::minutes(1);

    static OptionTable<DeadLetterSection> options() {
        using namespace std::chrono_literals;
        OptionTable<DeadLetterSection> table;
        table
            .optional("most", &DeadLetterSection::most, "more dead letters than this within `within` stop the pipeline")
            .from(1);
        table
            .optional("share", &DeadLetterSection::share,
                      "more than this share of the events within `within` stops the pipeline: 0.2 is every fifth")
            .above(0)
            .below(1);
        table
            .optional("least_events", &DeadLetterSection::least_events,
                      "`share` counts once there are so many events within `within`")
            .from(1);
        table.optional("within", &DeadLetterSection::within, "span of ingest time that both look back over")
            .from(1s)
            .to(24h);
        return table;
    }
};

struct SinkSection {
    std::vector<std::string> postings;
    bool dead_letters = true;

    static OptionTable<SinkSection> options() {
        OptionTable<SinkSection> table;
        table.optional("postings", &SinkSection::postings, "`all`, or the names of postings");
        table.optional("dead_letters", &SinkSection::dead_letters, "whether this sink keeps dead letters");
        return table;
    }
};

/// The connector of a source or sink: its only key that is not an option of the section.
template <typename KnownType>
const KnownType* find_connector(const std::vector<const KnownType*>& known, const ConfigNode& section,
                                const ConfigNode** options) {
    for (const ConfigNode::Entry& entry : section.entries) {
        for (const KnownType* type : known) {
            if (type->name() == entry.key) {
                *options = &entry.value;
                return type;
            }
        }
    }
    return nullptr;
}

template <typename KnownType>
std::vector<std::string> names_of(const std::vector<const KnownType*>& known) {
    std::vector<std::string> names;
    for (const KnownType* type : known) names.emplace_back(type->name());
    return names;
}

void add_canonical(const ConfigNode& node, std::string& text) {
    switch (node.kind) {
        case ConfigNode::Kind::null:
            text += "~;";
            break;
        case ConfigNode::Kind::scalar:
            text += fmt::format("{}:{};", node.scalar.size(), node.scalar);
            break;
        case ConfigNode::Kind::sequence:
            text += '[';
            for (const ConfigNode& item : node.items) add_canonical(item, text);
            text += ']';
            break;
        case ConfigNode::Kind::mapping:
            text += '{';
            for (const ConfigNode::Entry& entry : node.entries) {
                text += fmt::format("{}:{}=", entry.key.size(), entry.key);
                add_canonical(entry.value, text);
            }
            text += '}';
            break;
    }
}

using Calendars = std::map<std::string, std::shared_ptr<const ShiftCalendar>>;

/// The shifts themselves, in whatever order and place their file has them.
void add_canonical(const std::string& name, const ShiftCalendar& calendar, std::string& text) {
    std::vector<std::string> shifts;
    for (const ShiftCalendar::Entry& entry : calendar.entries) {
        for (const Shift& shift : entry.shifts) {
            shifts.push_back(fmt::format("{}:{},{}:{},{},{};", entry.key.size(), entry.key, shift.name.size(),
                                         shift.name, shift.start, shift.end));
        }
    }
    std::sort(shifts.begin(), shifts.end());
    text += fmt::format("{}:{}={{{}}}", name.size(), name, fmt::join(shifts, ""));
}

/// Rules of a `require` without their owners.
ConfigNode without_owners(ConfigNode rules) {
    for (ConfigNode::Entry& rule : rules.entries)
        std::erase_if(rule.value.entries, [](const ConfigNode::Entry& option) { return option.key == "owner"; });
    return rules;
}

/// What of a stateless step decides which rows go on and what they hold: neither its name nor what its dead letters are
/// called and who must act on them.
std::string deciding_text(const StepSpec& step) {
    std::string text;
    for (const ConfigNode::Entry& entry : step.node->entries) {
        if (entry.key == step.operator_name || entry.key == "from") continue;
        if (step.operator_name == "lookup" && entry.key == "missing") continue;
        text += fmt::format("{}:{}=", entry.key.size(), entry.key);
        add_canonical(step.operator_name == "require" ? without_owners(entry.value) : entry.value, text);
    }
    return text;
}

/// Hash of what decides the answer: steps, postings and shifts, not where input comes from or where output goes.
std::string hash_config(const ConfigNode& config, const Calendars& calendars) {
    std::string text;
    for (const char* section : {"pipeline", "steps", "postings"}) {
        if (const ConfigNode* node = config.find(section)) add_canonical(*node, text);
    }
    for (const auto& [name, calendar] : calendars) add_canonical(name, *calendar, text);
    return to_hex(hash128(text));
}

/// One walk over the config. The first walk knows every field of the sources and notes which are used; the second makes
/// the plan with those only.
class Pass final : public PlanContext {
  public:
    Pass(const ConfigNode& config, const Catalog& catalog, const PlanOverrides& overrides,
         const std::vector<std::set<std::string>>* needed, Mistakes& mistakes)
        : config_(config), catalog_(catalog), overrides_(overrides), needed_(needed), mistakes_(mistakes) {}

    void run() {
        plan_ = std::make_unique<Plan>();
        for (const Outcome& outcome : overrides_.outcomes) plan_->outcomes.add(outcome);
        if (!config_.is_mapping()) {
            mistakes_.add(config_.place, "C101",
                          "a config is a mapping with 'pipeline', 'sources', 'steps', 'postings' and 'sinks'");
            return;
        }
        check_sections();
        read_head();
        read_tables();
        plan_->config_hash = hash_config(config_, calendars_);
        read_sources();
        read_steps();
        read_postings();
        read_sinks();
        check_uids();
        check_reachable();
        finish_segments();
    }

    std::unique_ptr<Plan> take_plan() { return std::move(plan_); }
    std::vector<GraphNode> take_graph() { return std::move(graph_); }
    std::vector<std::string> take_notes() { return std::move(notes_); }
    /// Per source segment the fields that something reads.
    std::vector<std::set<std::string>> used_fields() const {
        std::vector<std::set<std::string>> used;
        for (std::size_t i = 0; i < source_segments_; ++i) {
            std::set<std::string> names;
            const Layout& layout = plan_->segments[i]->layout;
            for (const Slot slot : used_slots_[i]) names.insert(layout.field(slot).name);
            used.push_back(std::move(names));
        }
        return used;
    }

    // PlanContext
    Mistakes& mistakes() override { return mistakes_; }
    const std::string& pipeline() const override { return plan_->pipeline; }
    const std::string& config_hash() const override { return plan_->config_hash; }
    Stream& stream(const std::string& name) override {
        const auto found = streams_.find(name);
        CHECK(found != streams_.end());
        return found->second.stream;
    }
    Segment& segment(std::size_t index) override { return *plan_->segments[index]; }
    OutcomeTable& outcomes() override { return plan_->outcomes; }

    void publish(const std::string& name, Stream stream, const Place& place) override {
        if (streams_.count(name) != 0) {
            mistakes_.add(place, "C131", fmt::format("the name '{}' is taken by an earlier step or source", name));
            return;
        }
        streams_.emplace(name, Published{std::move(stream), place, false});
        order_.push_back(name);
    }

    Slot add_column(std::size_t segment_index, const std::string& name, Type type) override {
        Layout& layout = segment(segment_index).layout;
        const Slot known = layout.find(name);
        if (known != kNoSlot) {
            CHECK(name.front() == '#');
            return known;
        }
        return layout.add({name, std::move(type), false});
    }

    StreamId add_stream(std::size_t segment_index) override { return segment(segment_index).streams++; }

    std::size_t add_segment(const std::string& name, std::vector<Field> fields) override {
        auto fresh = std::make_unique<Segment>();
        fresh->name = name;
        for (Field& field : fields) fresh->layout.add(std::move(field));
        plan_->segments.push_back(std::move(fresh));
        used_slots_.emplace_back();
        return plan_->segments.size() - 1;
    }

    std::optional<Program> compile(const ExpressionText& text, const Stream& stream) override {
        return compile_part(text.text, text.node, 0, stream);
    }

    std::optional<Program> compile_part(std::string_view text, const ConfigNode& node, std::size_t offset,
                                        const Stream& stream) override {
        auto compiled = compile_expression(text, stream.scope);
        if (auto* found = std::get_if<std::vector<ExpressionMistake>>(&compiled)) {
            for (ExpressionMistake& mistake : *found) {
                mistakes_.add(node.place_of(offset + mistake.offset, mistake.length), std::move(mistake.code),
                              std::move(mistake.message), std::move(mistake.hint));
            }
            return std::nullopt;
        }
        Program program = std::get<Program>(std::move(compiled));
        for (const Slot slot : program.slots()) used_slots_[stream.segment].insert(slot);
        return program;
    }

    std::optional<Scope::Entry> column(const std::string& name, const ConfigNode& node, const Stream& stream) override {
        if (const Scope::Entry* entry = stream.scope.find(name)) {
            used_slots_[stream.segment].insert(entry->slot);
            return *entry;
        }
        std::vector<std::string> names;
        for (const Scope::Entry& entry : stream.scope.entries()) names.push_back(entry.name);
        mistakes_.add(node.place, "C132", fmt::format("no column '{}' here", name), did_you_mean(name, names));
        return std::nullopt;
    }

    std::shared_ptr<const TableHandle> table(const std::string& name) const override {
        const auto found = tables_.find(name);
        return found == tables_.end() ? nullptr : found->second;
    }
    std::vector<std::string> table_names() const override { return names_in("tables"); }
    std::shared_ptr<const ShiftCalendar> calendar(const std::string& name) const override {
        const auto found = calendars_.find(name);
        return found == calendars_.end() ? nullptr : found->second;
    }
    std::vector<std::string> calendar_names() const override { return names_in("calendars"); }

    const std::vector<std::string>& source_names() const override { return source_names_; }

    std::uint32_t next_output() override { return outputs_++; }

    void identify(const StepSpec& step, const StepUid& uid, InputPart input, std::vector<StepParameter> parameters,
                  KeyedNode& node) override {
        node.kind = step.operator_name;
        node.uid = uid.of(step);
        node.uid_was = uid.uid_was;
        const auto place = [&](const char* option) {
            const ConfigNode* written = step.node->find(option);
            return written != nullptr ? written->place : step.place;
        };
        claims_.push_back({step.name, node.uid, place("uid"), uid.uid_was, place("uid_was")});
        Upstream upstream;
        for (const std::string& from : step.from) look_upstream(from, upstream);
        const auto add = [&](const char* name, const std::vector<std::string>& values) {
            if (!values.empty()) parameters.push_back({name, fmt::format("{}", fmt::join(values, ", "))});
        };
        add(kInputColumns, upstream.columns);
        if (input == InputPart::columns_and_rows) add(kInputRows, upstream.rows);
        add(kPanesOf, upstream.panes_of);
        node.parameters = std::move(parameters);
        node.inputs = std::move(upstream.names);
    }

    GraphNode& draw(const StepSpec& step, std::string kind, std::string detail) override {
        graph_.push_back({step.name, std::move(kind), std::move(detail), step.from, false, "", 0});
        return graph_.back();
    }

  private:
    struct Published {
        Stream stream;
        Place place;
        bool used = false;
    };
    /// Whose state a keyed step has.
    struct Claim {
        std::string step;
        std::string uid;
        Place place;
        std::string uid_was;
        Place place_was;
    };

    std::vector<std::string> names_in(std::string_view section) const {
        std::vector<std::string> names;
        if (const ConfigNode* node = config_.find(section)) {
            for (const ConfigNode::Entry& entry : node->entries) names.push_back(entry.key);
        }
        return names;
    }

    void check_sections() {
        std::vector<std::string> known(std::begin(kSections), std::end(kSections));
        for (const ConfigNode::Entry& entry : config_.entries) {
            if (std::find(known.begin(), known.end(), entry.key) == known.end()) {
                mistakes_.add(entry.key_place, "C102", fmt::format("unknown section '{}'", entry.key),
                              did_you_mean(entry.key, known));
            }
        }
    }

    void read_head() {
        const ConfigNode* name = config_.find("pipeline");
        if (name == nullptr || !name->is_scalar() || name->scalar.empty()) {
            mistakes_.add(name ? name->place : config_.place, "C103",
                          "'pipeline' must name this pipeline: the uid of its state and its postings");
        } else {
            plan_->pipeline = name->scalar;
        }
        EngineSection engine;
        if (const ConfigNode* node = config_.find("engine")) {
            EngineSection::options().read(*node, "section 'engine'", engine, mistakes_);
        }
        plan_->lanes = static_cast<std::uint32_t>(engine.lanes);
        plan_->epoch = engine.epoch.count();
        plan_->epoch_messages = static_cast<std::uint64_t>(engine.epoch_messages);
        plan_->epoch_bytes = engine.epoch_bytes.value;
        read_dead_letters();
    }

    void read_dead_letters() {
        const ConfigNode* node = config_.find("dead_letters");
        if (node == nullptr) return;
        DeadLetterSection section;
        if (!DeadLetterSection::options().read(*node, "section 'dead_letters'", section, mistakes_)) return;
        if (!section.most && !section.share) {
            mistakes_.add(node->place, "C120",
                          "section 'dead_letters' has no limit: `most` says how many may be refused, `share` how large "
                          "a part of the events");
            return;
        }
        plan_->dead_letters = {static_cast<std::uint64_t>(section.most.value_or(0)), section.share.value_or(0),
                               static_cast<std::uint64_t>(section.least_events), section.within.count()};
    }

    void read_tables() {
        if (const ConfigNode* section = config_.find("tables")) {
            for (const ConfigNode::Entry& entry : section->entries) {
                auto built = build_table(entry.key, entry.value, catalog_.tables, overrides_, mistakes_);
                if (!built) continue;
                tables_.emplace(entry.key, built->handle);
                if (built->live == nullptr) continue;
                plan_->tables.push_back(
                    {entry.key, std::string(built->live->name()), built->handle, std::move(built->make)});
            }
        }
        if (const ConfigNode* section = config_.find("calendars")) {
            for (const ConfigNode::Entry& entry : section->entries) {
                auto built = build_calendar(entry.key, entry.value, overrides_, mistakes_);
                if (built) calendars_.emplace(entry.key, std::move(built));
            }
        }
    }

    void read_sources() {
        const ConfigNode* section = config_.find("sources");
        if (section == nullptr || !section->is_mapping() || section->entries.empty()) {
            mistakes_.add(section ? section->place : config_.place, "C117", "'sources' must name at least one source");
            return;
        }
        for (const ConfigNode::Entry& entry : section->entries) read_source(entry);
        plan_->crashed = plan_->outcomes.add({OutcomeKind::dead_letter, "CRASH", "plant_it", "decode", false});
        source_segments_ = plan_->segments.size();
    }

    void read_source(const ConfigNode::Entry& entry) {
        const std::string what = fmt::format("source '{}'", entry.key);
        if (!entry.value.is_mapping()) {
            mistakes_.add(entry.value.place, "C105",
                          fmt::format("{} must be a mapping with a connector and its options", what));
            return;
        }
        const ConfigNode* connector_options = nullptr;
        const SourceType* type = find_connector(catalog_.sources, entry.value, &connector_options);
        if (type == nullptr) {
            report_connector(entry, what, names_of(catalog_.sources),
                             {"schema", "format", "id", "correlation", "partition", "time"});
            return;
        }
        SourceSection options;
        SourceSection::options().read(entry.value, what, options, mistakes_,
                                      {std::string(type->name()), "schema", "format"});
        SourceTime time;
        if (!options.time.entries.empty() || options.time.kind != ConfigNode::Kind::null) {
            SourceTime::options().read(options.time, fmt::format("'time' of {}", what), time, mistakes_);
        }
        auto draft = type->plan(entry.key, *connector_options, entry.value, mistakes_);
        if (!draft) return;

        const std::size_t segment_index = segment_for(*draft, entry.value);
        Segment& target = segment(segment_index);
        Stream stream;
        stream.segment = segment_index;
        for (std::size_t slot = 0; slot < target.layout.size(); ++slot) {
            const Field& field = target.layout.field(static_cast<Slot>(slot));
            if (field.name.front() != '#') stream.scope.add(field.name, field.type, static_cast<Slot>(slot));
        }
        const ConfigNode& place_of_time = options.time.kind == ConfigNode::Kind::null ? entry.value : options.time;
        ClockOptions clock = read_clock(time, place_of_time, stream, target);
        target.id = special_column(options.id, "id", entry.value, stream, TypeKind::string);
        target.correlation = special_column(options.correlation, "correlation", entry.value, stream, TypeKind::string);
        target.partition = special_column(options.partition, "partition", entry.value, stream, TypeKind::string);

        SourcePlan source;
        source.name = entry.key;
        source.connector = std::string(type->name());
        source.index = static_cast<std::uint32_t>(plan_->sources.size());
        source.segment = segment_index;
        source.stream = add_stream(segment_index);
        source.time = {time.out_of_order.count(), time.idle.count()};
        source.can_read_again = type->can_read_again();
        source.make = draft->make;
        stream.id = add_stream(segment_index);
        target.nodes.push_back({std::string(kClockStep), make_clock_step(clock), {source.stream}, {stream.id}});
        drafts_.push_back(std::move(*draft));
        plan_->sources.push_back(std::move(source));
        publish(entry.key, std::move(stream), entry.key_place);
        source_names_.push_back(entry.key);
        graph_.push_back({entry.key, "source", std::string(type->name()), {}, false, "", segment_index});
    }

    void report_connector(const ConfigNode::Entry& entry, const std::string& what, std::vector<std::string> known,
                          const std::vector<std::string>& options) {
        for (const ConfigNode::Entry& key : entry.value.entries) {
            if (std::find(options.begin(), options.end(), key.key) != options.end()) continue;
            mistakes_.add(
                key.key_place, "C106",
                fmt::format("unknown connector '{}' in {}; there are {}", key.key, what, fmt::join(known, ", ")),
                did_you_mean(key.key, known));
            return;
        }
        mistakes_.add(entry.key_place, "C106",
                      fmt::format("{} names no connector; there are {}", what, fmt::join(known, ", ")));
    }

    /// Sources of one record type and the same special columns share a segment.
    std::size_t segment_for(const SourceDraft& draft, const ConfigNode& section) {
        std::string signature;
        for (const RecordField& field : draft.schema->fields) {
            signature += fmt::format("{}:{};", field.field.name, to_string(field.field.type));
        }
        for (const char* key : {"id", "correlation", "partition"}) {
            const ConfigNode* node = section.find(key);
            signature += fmt::format("{}={};", key, node ? node->scalar : "");
        }
        const auto known = std::find(segment_signatures_.begin(), segment_signatures_.end(), signature);
        if (known != segment_signatures_.end()) return static_cast<std::size_t>(known - segment_signatures_.begin());
        const std::size_t index = segment_signatures_.size();
        std::vector<Field> fields;
        for (const RecordField& field : draft.schema->fields) {
            const bool wanted = needed_ == nullptr || (*needed_)[index].count(field.field.name) != 0;
            if (wanted) fields.push_back(field.field);
        }
        segment_signatures_.push_back(std::move(signature));
        return add_segment(draft.schema->name, std::move(fields));
    }

    Slot special_column(const std::string& name, std::string_view role, const ConfigNode& section, const Stream& stream,
                        TypeKind kind) {
        if (name.empty()) return kNoSlot;
        const ConfigNode* node = section.find(role);
        const ConfigNode& at = node ? *node : section;
        const auto found = column(name, at, stream);
        if (!found) return kNoSlot;
        if (!found->type.is(kind)) {
            mistakes_.add(at.place, "C133",
                          fmt::format("'{}' names '{}', which is a {}; it must be a {}", role, name,
                                      to_string(found->type), to_string(Type::of(kind))));
            return kNoSlot;
        }
        return found->slot;
    }

    ClockOptions read_clock(const SourceTime& time, const ConfigNode& node, const Stream& stream, Segment& target) {
        (void)target;
        ClockOptions clock;
        clock.event = special_column(time.event, "event", node, stream, TypeKind::timestamp);
        clock.recorded = special_column(time.recorded, "recorded", node, stream, TypeKind::timestamp);
        clock.check_future = node.find("future") != nullptr;
        clock.future = time.future.count();
        if (!time.not_before.empty()) {
            const auto instant = parse_timestamp(time.not_before);
            if (instant) {
                clock.not_before = *instant;
            } else {
                mistakes_.add(
                    node.find("not_before")->place, "C134",
                    fmt::format("'{}' is no instant; expected one such as 2000-01-01T00:00:00Z", time.not_before));
            }
        }
        clock.future_time =
            plan_->outcomes.add({OutcomeKind::dead_letter, "FUTURE_TIME", "plant_it", std::string(kClockStep), false});
        clock.clock_invalid = plan_->outcomes.add(
            {OutcomeKind::dead_letter, "CLOCK_INVALID", "plant_it", std::string(kClockStep), false});
        return clock;
    }

    void read_steps() {
        const ConfigNode* section = config_.find("steps");
        if (section == nullptr) return;
        if (!section->is_sequence()) {
            mistakes_.add(section->place, "C107",
                          "'steps' must be a sequence: each step begins with '- OPERATOR: NAME'");
            return;
        }
        for (const ConfigNode& item : section->items) read_step(item);
    }

    void read_step(const ConfigNode& item) {
        if (!item.is_mapping() || item.entries.empty()) {
            mistakes_.add(item.place, "C108", "a step begins with '- OPERATOR: NAME'");
            return;
        }
        const OperatorType* type = nullptr;
        const ConfigNode::Entry* head = nullptr;
        for (const ConfigNode::Entry& entry : item.entries) {
            type = find_operator(entry.key);
            if (type != nullptr) {
                head = &entry;
                break;
            }
        }
        if (type == nullptr) {
            std::vector<std::string> known = names_of(catalog_.operators);
            known.erase(std::remove(known.begin(), known.end(), "post"), known.end());
            mistakes_.add(
                item.entries[0].key_place, "C109",
                fmt::format("unknown operator '{}'; there are {}", item.entries[0].key, fmt::join(known, ", ")),
                did_you_mean(item.entries[0].key, known));
            last_step_ = item.entries[0].value.scalar;
            broken_.insert(last_step_);
            return;
        }
        if (!head->value.is_scalar() || head->value.scalar.empty()) {
            mistakes_.add(head->value.place, "C110",
                          fmt::format("this {} needs a name: '- {}: NAME'", head->key, head->key));
            return;
        }
        StepSpec step;
        step.name = head->value.scalar;
        step.operator_name = head->key;
        step.node = &item;
        step.place = head->value.place;
        const bool readable = read_inputs(item, last_step_, step.name, step.from);
        steps_.emplace(step.name, step);
        last_step_ = step.name;
        if (readable) type->plan(step, *this);
        if (!is_published(step.name)) broken_.insert(step.name);
    }

    const OperatorType* find_operator(std::string_view name) const {
        for (const OperatorType* type : catalog_.operators) {
            if (type->name() == name && name != "post") return type;
        }
        return nullptr;
    }

    /// Whether the step has an output: of its own name, or NAME.WAY.
    bool is_published(const std::string& name) const {
        const auto way = streams_.lower_bound(name + ".");
        return streams_.count(name) != 0 || (way != streams_.end() && way->first.rfind(name + ".", 0) == 0);
    }

    /// A step whose mistakes are reported: what reads it, or a way of it, is no mistake of its own.
    bool is_broken(const std::string& name) const {
        return broken_.count(name) != 0 || broken_.count(name.substr(0, name.find('.'))) != 0;
    }

    /// `from` of a step, or the step above it, or all sources.
    bool read_inputs(const ConfigNode& item, const std::string& above, const std::string& name,
                     std::vector<std::string>& from) {
        if (const ConfigNode* node = item.find("from")) {
            std::vector<const ConfigNode*> written;
            if (node->is_sequence()) {
                for (const ConfigNode& one : node->items) written.push_back(&one);
            } else {
                written.push_back(node);
            }
            bool known = true;
            for (const ConfigNode* one : written) {
                const auto found = streams_.find(one->scalar);
                if (found == streams_.end() && is_broken(one->scalar)) {
                    known = false;
                    continue;
                }
                if (found == streams_.end()) {
                    mistakes_.add(one->place, "C135",
                                  fmt::format("no step or source '{}' before '{}'", one->scalar, name),
                                  did_you_mean(one->scalar, order_));
                    known = false;
                    continue;
                }
                found->second.used = true;
                from.push_back(one->scalar);
            }
            return known && !from.empty();
        }
        if (!above.empty()) {
            const auto found = streams_.find(above);
            if (found == streams_.end()) {
                // The step above has mistakes of its own, or several outputs.
                if (!is_broken(above)) {
                    mistakes_.add(
                        item.place, "C136",
                        fmt::format("'{}' has several outputs; say 'from: {}.OUTPUT' in '{}'", above, above, name));
                }
                return false;
            }
            found->second.used = true;
            from.push_back(above);
            return true;
        }
        if (source_names_.empty()) return false;
        return join_sources(item, from);
    }

    /// The first step reads all sources: one stream, in the fixed order of an epoch.
    bool join_sources(const ConfigNode& item, std::vector<std::string>& from) {
        for (const std::string& name : source_names_) streams_.at(name).used = true;
        if (source_names_.size() == 1) {
            from = source_names_;
            return true;
        }
        const Stream& first = streams_.at(source_names_[0]).stream;
        RowNode node{"sources", make_union_step(), {}, {}};
        for (const std::string& name : source_names_) {
            const Stream& one = streams_.at(name).stream;
            if (one.segment != first.segment) {
                mistakes_.add(item.place, "C137",
                              fmt::format("sources '{}' and '{}' have different records; say 'from' here, or give them "
                                          "one schema, id and correlation",
                                          source_names_[0], name));
                return false;
            }
            node.in.push_back(one.id);
        }
        Stream joined = first;
        joined.id = add_stream(first.segment);
        node.out = {joined.id};
        segment(first.segment).nodes.push_back(std::move(node));
        publish("sources", std::move(joined), item.place);
        streams_.at("sources").used = true;
        graph_.push_back({"sources", "union", "", source_names_, false, "", first.segment});
        from = {"sources"};
        return true;
    }

    void read_postings() {
        const ConfigNode* section = config_.find("postings");
        if (section == nullptr || !section->is_mapping() || section->entries.empty()) {
            mistakes_.add(section ? section->place : config_.place, "C111",
                          "'postings' must name at least one posting: a pipeline without one posts nothing");
            return;
        }
        const OperatorType* post = nullptr;
        for (const OperatorType* type : catalog_.operators) {
            if (type->name() == "post") post = type;
        }
        CHECK(post != nullptr);
        for (const ConfigNode::Entry& entry : section->entries) {
            StepSpec step;
            step.name = entry.key;
            step.operator_name = "post";
            step.node = &entry.value;
            step.place = entry.key_place;
            if (!entry.value.is_mapping()) {
                mistakes_.add(entry.value.place, "C112", fmt::format("posting '{}' must be a mapping", entry.key));
                continue;
            }
            posting_names_.push_back(entry.key);
            if (!read_inputs(entry.value, last_step_, step.name, step.from)) continue;
            post->plan(step, *this);
        }
    }

    void read_sinks() {
        const ConfigNode* section = config_.find("sinks");
        if (section == nullptr || !section->is_mapping() || section->entries.empty()) {
            mistakes_.add(section ? section->place : config_.place, "C113", "'sinks' must name at least one sink");
            return;
        }
        for (const ConfigNode::Entry& entry : section->entries) read_sink(entry);
    }

    void read_sink(const ConfigNode::Entry& entry) {
        const std::string what = fmt::format("sink '{}'", entry.key);
        if (!entry.value.is_mapping()) {
            mistakes_.add(entry.value.place, "C114",
                          fmt::format("{} must be a mapping with a connector and its options", what));
            return;
        }
        const ConfigNode* connector_options = nullptr;
        const SinkType* type = find_connector(catalog_.sinks, entry.value, &connector_options);
        if (type == nullptr) {
            report_connector(entry, what, names_of(catalog_.sinks), {"postings", "dead_letters"});
            return;
        }
        SinkSection options;
        SinkSection::options().read(entry.value, what, options, mistakes_, {std::string(type->name())});
        SinkPlan sink;
        sink.name = entry.key;
        sink.connector = std::string(type->name());
        sink.dead_letters = options.dead_letters;
        sink.keeps_after_crash = type->keeps_after_crash();
        const ConfigNode* written = entry.value.find("postings");
        if (written != nullptr && written->is_sequence() && written->items.empty()) {
            mistakes_.add(written->place, "C121", fmt::format("'postings' of {} is an empty list", what),
                          "leave it out for all postings, or name those that it gets");
        }
        sink.all_postings = options.postings.empty() || (options.postings.size() == 1 && options.postings[0] == "all");
        if (!sink.all_postings) {
            for (std::size_t i = 0; i < options.postings.size(); ++i) {
                const std::string& name = options.postings[i];
                if (std::find(posting_names_.begin(), posting_names_.end(), name) == posting_names_.end()) {
                    mistakes_.add(written->is_sequence() ? written->items[i].place : written->place, "C115",
                                  fmt::format("{} wants posting '{}', which is not there", what, name),
                                  did_you_mean(name, posting_names_));
                }
            }
            sink.postings = options.postings;
        }
        auto make = type->plan(entry.key, *connector_options, plan_->pipeline, mistakes_);
        if (!make) return;
        sink.make = std::move(*make);
        GraphNode drawn{
            entry.key, "sink", std::string(type->name()), sink.all_postings ? posting_names_ : sink.postings, false,
            "",        0};
        graph_.push_back(std::move(drawn));
        plan_->sinks.push_back(std::move(sink));
    }

    /// What steps and sources bring to a keyed step, each once.
    struct Upstream {
        std::vector<std::string> columns;
        std::vector<std::string> rows;
        std::vector<std::string> panes_of;
        std::map<std::string, std::string> names;  ///< of the steps, by what stands in `columns` and `rows`
        std::set<std::string> seen;
    };

    void look_upstream(const std::string& stream, Upstream& upstream) const {
        if (!upstream.seen.insert(stream).second) return;
        const std::size_t dot = steps_.count(stream) != 0 ? std::string::npos : stream.find('.');
        const auto found = steps_.find(stream.substr(0, dot));
        if (found == steps_.end()) return look_at_sources(stream, upstream);
        const StepSpec& step = found->second;
        if (step.operator_name == "aggregate") {
            const auto claim =
                std::find_if(claims_.begin(), claims_.end(), [&](const Claim& one) { return one.step == step.name; });
            upstream.panes_of.push_back(claim != claims_.end() ? claim->uid : step.name);
            return;
        }
        for (const std::string& from : step.from) look_upstream(from, upstream);
        if (step.operator_name == "dedup" || step.operator_name == "union") return;
        const bool makes_columns = step.operator_name == "project" || step.operator_name == "lookup";
        std::string text = deciding_text(step);
        if (dot != std::string::npos) text += stream.substr(dot);
        const std::string hash = to_hex(hash128(text)).substr(0, 16);
        const std::string& part = (makes_columns ? upstream.columns : upstream.rows)
                                      .emplace_back(fmt::format("{} {}", step.operator_name, hash));
        upstream.names.emplace(part, fmt::format("{} {}", step.operator_name, step.name));
    }

    /// A source's name, or "sources" for all of them. What they call the event's time decides which pane it enters.
    void look_at_sources(const std::string& stream, Upstream& upstream) const {
        for (const std::string& name : source_names_) {
            if (stream != name && stream != "sources") continue;
            const ConfigNode* time = config_.find("sources")->find(name)->find("time");
            const ConfigNode* event = time != nullptr && time->is_mapping() ? time->find("event") : nullptr;
            const std::string text = fmt::format("time {}", event != nullptr ? event->scalar : "of ingest");
            if (std::find(upstream.columns.begin(), upstream.columns.end(), text) == upstream.columns.end())
                upstream.columns.push_back(text);
        }
    }

    /// A state has one owner, before and now.
    void check_uids() {
        for (std::size_t i = 0; i < claims_.size(); ++i) {
            const Claim& claim = claims_[i];
            for (std::size_t j = 0; j < claims_.size(); ++j) {
                const Claim& other = claims_[j];
                if (j < i && other.uid == claim.uid) {
                    mistakes_.add(claim.place, "C197",
                                  fmt::format("'{}' and '{}' both have the uid '{}': each state needs its own",
                                              other.step, claim.step, claim.uid));
                }
                if (claim.uid_was.empty()) continue;
                if (other.uid == claim.uid_was) {
                    mistakes_.add(claim.place_was, "C198",
                                  fmt::format("'uid_was' of '{}' is '{}', and '{}' still has that uid", claim.step,
                                              claim.uid_was, other.step));
                } else if (j < i && other.uid_was == claim.uid_was) {
                    mistakes_.add(claim.place_was, "C198",
                                  fmt::format("'{}' and '{}' both would take over the state of '{}'", other.step,
                                              claim.step, claim.uid_was));
                }
            }
        }
    }

    void check_reachable() {
        if (!mistakes_.empty()) return;
        for (const std::string& name : order_) {
            const Published& published = streams_.at(name);
            if (!published.used) {
                mistakes_.add(published.place, "C116",
                              fmt::format("nothing uses '{}': its rows would go nowhere", name));
            }
        }
    }

    void finish_segments() {
        if (!mistakes_.empty()) return;
        for (std::size_t i = 0; i < plan_->segments.size(); ++i) {
            Segment& one = *plan_->segments[i];
            one.too_late = plan_->outcomes.add(
                {OutcomeKind::dead_letter, "TOO_LATE", "plant_it", "window", one.dedup.has_value()});
        }
        for (std::size_t i = 0; i < plan_->sources.size(); ++i) {
            SourcePlan& source = plan_->sources[i];
            source.decoder = drafts_[i].make_decoder(segment(source.segment).layout, source.index);
        }
    }

    const ConfigNode& config_;
    const Catalog& catalog_;
    const PlanOverrides& overrides_;
    const std::vector<std::set<std::string>>* needed_;
    Mistakes& mistakes_;

    std::unique_ptr<Plan> plan_;
    std::vector<GraphNode> graph_;
    std::vector<std::string> notes_;
    std::map<std::string, Published> streams_;
    std::vector<std::string> order_;
    std::vector<std::string> source_names_;
    std::vector<std::string> posting_names_;
    std::vector<SourceDraft> drafts_;
    std::vector<std::string> segment_signatures_;
    std::size_t source_segments_ = 0;
    std::uint32_t outputs_ = 0;
    std::vector<std::set<Slot>> used_slots_;
    std::map<std::string, std::shared_ptr<TableHandle>> tables_;
    Calendars calendars_;
    std::string last_step_;
    std::set<std::string> broken_;  ///< steps with mistakes and without an output
    std::map<std::string, StepSpec> steps_;
    std::vector<Claim> claims_;  ///< of the keyed steps, in their order
};

}  // namespace

const ShiftCalendar::Entry* ShiftCalendar::find(std::string_view key) const {
    for (const Entry& entry : entries) {
        if (entry.key == key) return &entry;
    }
    return nullptr;
}

SectionDocs section_docs() {
    return {SourceSection::options().describe(), SourceTime::options().describe(), SinkSection::options().describe(),
            EngineSection::options().describe(), DeadLetterSection::options().describe()};
}

PlannedPipeline plan_pipeline(const ConfigNode& config, const Catalog& catalog, const PlanOverrides& overrides,
                              Mistakes& mistakes) {
    PlannedPipeline result;
    Pass first(config, catalog, overrides, nullptr, mistakes);
    first.run();
    if (!mistakes.empty()) {
        result.graph = first.take_graph();
        return result;
    }
    const std::vector<std::set<std::string>> needed = first.used_fields();
    Mistakes again;
    Pass second(config, catalog, overrides, &needed, again);
    second.run();
    CHECK(again.empty());
    result.plan = second.take_plan();
    result.graph = second.take_graph();
    result.notes = second.take_notes();
    return result;
}

}  // namespace takt
