#include "cli/graph_view.h"

#include <fmt/format.h>

#include <algorithm>

namespace takt {
namespace {

/// A picture of boxes in groups, in one of three languages. Ids are given in order of appearance.
class Picture {
  public:
    explicit Picture(GraphFormat format) : format_(format) {
        text_ = format == GraphFormat::dot
                    ? "digraph takt {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n"
                    : "flowchart LR\n";
    }

    void begin_group(const std::string& title) {
        ++groups_;
        text_ += format_ == GraphFormat::dot
                     ? fmt::format("  subgraph cluster_{} {{\n  label=\"{}\";\n", groups_, escape(title))
                     : fmt::format("  subgraph g{}[\"{}\"]\n", groups_, escape(title));
    }
    void end_group() { text_ += format_ == GraphFormat::dot ? "  }\n" : "  end\n"; }

    void box(const std::string& name, const std::string& label) {
        const std::string id = id_of(name);
        text_ += format_ == GraphFormat::dot ? fmt::format("  {} [label=\"{}\"];\n", id, escape(label))
                                             : fmt::format("  {}[\"{}\"]\n", id, escape(label));
    }
    void arrow(const std::string& from, const std::string& to, const std::string& label = {}) {
        const std::string a = id_of(from), b = id_of(to);
        if (format_ == GraphFormat::dot) {
            text_ += label.empty() ? fmt::format("  {} -> {};\n", a, b)
                                   : fmt::format("  {} -> {} [label=\"{}\"];\n", a, b, escape(label));
        } else {
            text_ += label.empty() ? fmt::format("  {} --> {}\n", a, b)
                                   : fmt::format("  {} -->|\"{}\"| {}\n", a, escape(label), b);
        }
    }
    std::string finish() { return text_ + (format_ == GraphFormat::dot ? "}\n" : ""); }

  private:
    std::string id_of(const std::string& name) {
        auto found = std::find(names_.begin(), names_.end(), name);
        if (found == names_.end()) found = names_.insert(names_.end(), name);
        return fmt::format("n{}", found - names_.begin());
    }
    /// A line break is written as each language wants it.
    std::string escape(const std::string& text) const {
        std::string escaped;
        for (const char c : text) {
            if (c == '\n') {
                escaped += format_ == GraphFormat::dot ? "\\n" : "<br/>";
            } else if (format_ == GraphFormat::dot && (c == '"' || c == '\\')) {
                escaped += std::string("\\") + c;
            } else if (format_ == GraphFormat::mermaid && (c == '"' || c == '<' || c == '>' || c == '#')) {
                escaped += c == '"' ? "#quot;" : c == '<' ? "#lt;" : c == '>' ? "#gt;" : "#35;";
            } else {
                escaped += c;
            }
        }
        return escaped;
    }

    GraphFormat format_;
    std::string text_;
    std::vector<std::string> names_;
    int groups_ = 0;
};

/// The step that makes this stream: the outputs of a route are `route.output`.
std::string step_of(const PlannedPipeline& planned, const std::string& stream) {
    const auto named = [&](const std::string& name) {
        return std::any_of(planned.graph.begin(), planned.graph.end(),
                           [&](const GraphNode& node) { return node.name == name; });
    };
    if (named(stream)) return stream;
    const std::string before_dot = stream.substr(0, stream.rfind('.'));
    return named(before_dot) ? before_dot : stream;
}

std::string output_of(const std::string& step, const std::string& stream) {
    return stream.size() > step.size() ? stream.substr(step.size() + 1) : std::string();
}

/// A sink may be called as a posting or a step is.
std::string box_name(const GraphNode& node) {
    return node.kind + " " + node.name;
}

const GraphNode* find_node(const PlannedPipeline& planned, const std::string& name, bool sink) {
    for (const GraphNode& node : planned.graph) {
        if (node.name == name && (node.kind == "sink") == sink) return &node;
    }
    return nullptr;
}

std::string logical_text(const PlannedPipeline& planned) {
    std::size_t name_width = 4, kind_width = 4;
    for (const GraphNode& node : planned.graph) {
        name_width = std::max(name_width, node.name.size());
        kind_width = std::max(kind_width, node.kind.size());
    }
    std::string text;
    for (const GraphNode& node : planned.graph) {
        std::string line = fmt::format("{:<{}}  {:<{}}", node.kind, kind_width, node.name, name_width);
        if (!node.from.empty()) line += fmt::format("  <- {}", fmt::join(node.from, ", "));
        if (node.keyed) line += fmt::format("  by {}", node.exchange_key.empty() ? "key" : node.exchange_key);
        if (!node.detail.empty()) line += fmt::format("  [{}]", node.detail);
        text += line + "\n";
    }
    return text;
}

std::string logical_picture(const PlannedPipeline& planned, GraphFormat format) {
    Picture picture(format);
    for (const GraphNode& node : planned.graph) {
        picture.box(box_name(node), node.name + "\n" + node.kind + (node.detail.empty() ? "" : ": " + node.detail));
    }
    for (const GraphNode& node : planned.graph) {
        for (const std::string& stream : node.from) {
            const std::string step = step_of(planned, stream);
            if (const GraphNode* from = find_node(planned, step, false)) {
                picture.arrow(box_name(*from), box_name(node), output_of(step, stream));
            }
        }
    }
    return picture.finish();
}

/// One segment as it runs.
struct PhysicalSegment {
    std::string title;
    std::vector<std::string> inputs;
    std::vector<std::string> fused;
    std::vector<std::string> lane_steps;                       ///< with their exchange key
    std::vector<std::pair<std::string, std::size_t>> outputs;  ///< step and the segment that its panes go to
};

std::string keyed_label(const PlannedPipeline& planned, const std::string& step) {
    const GraphNode* node = find_node(planned, step, false);
    if (node == nullptr || node->exchange_key.empty()) return step;
    return fmt::format("{} by {}", step, node->exchange_key);
}

std::vector<PhysicalSegment> physical_segments(const PlannedPipeline& planned) {
    const Plan& plan = *planned.plan;
    std::vector<PhysicalSegment> segments(plan.segments.size());
    for (const SourcePlan& source : plan.sources) {
        segments[source.segment].inputs.push_back(fmt::format("{} ({})", source.name, source.connector));
    }
    for (std::size_t i = 0; i < plan.segments.size(); ++i) {
        const Segment& segment = *plan.segments[i];
        PhysicalSegment& shown = segments[i];
        shown.title = fmt::format("segment {}: {}, {} columns", i, segment.name, segment.layout.size());
        for (const RowNode& node : segment.nodes) {
            if (shown.fused.empty() || shown.fused.back() != node.step) shown.fused.push_back(node.step);
        }
        std::vector<const KeyedNode*> keyed;
        if (segment.dedup) keyed.push_back(&*segment.dedup);
        for (const KeyedNode& node : segment.terminals) keyed.push_back(&node);
        for (const KeyedNode* node : keyed) {
            shown.lane_steps.push_back(keyed_label(planned, node->step));
            if (node->output_segment < 0) continue;
            const auto to = static_cast<std::size_t>(node->output_segment);
            shown.outputs.emplace_back(node->step, to);
            segments[to].inputs.push_back("panes of " + node->step);
        }
    }
    return segments;
}

std::string physical_text(const PlannedPipeline& planned, std::uint32_t lanes) {
    const Plan& plan = *planned.plan;
    std::string text = fmt::format("epochs of {} or {}, {} lane{}\n", format_duration(plan.epoch),
                                   format_size(SizeBytes{plan.epoch_bytes}), lanes, lanes == 1 ? "" : "s");
    for (const PhysicalSegment& segment : physical_segments(planned)) {
        text += fmt::format("\n{}\n", segment.title);
        text += fmt::format("  in         {}\n", fmt::join(segment.inputs, ", "));
        text += fmt::format("  any thread decode, {} (fused, batch by batch)\n", fmt::join(segment.fused, " > "));
        for (const std::string& step : segment.lane_steps) text += fmt::format("  lanes      exchange to {}\n", step);
        for (const auto& [step, to] : segment.outputs) text += fmt::format("  out        {} > segment {}\n", step, to);
    }
    text += "\nepoch's end: watermark and timers move, postings leave in the order of time, step, key\n";
    for (const SinkPlan& sink : plan.sinks) {
        text += fmt::format("  sink       {} ({}): {}\n", sink.name, sink.connector,
                            sink.all_postings ? "all postings" : fmt::format("{}", fmt::join(sink.postings, ", ")));
    }
    return text;
}

std::string physical_picture(const PlannedPipeline& planned, GraphFormat format, std::uint32_t lanes) {
    Picture picture(format);
    const std::vector<PhysicalSegment> segments = physical_segments(planned);
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const PhysicalSegment& segment = segments[i];
        picture.begin_group(segment.title);
        const std::string fused = fmt::format("fused {}", i);
        picture.box(fused, fmt::format("any thread\n{}", fmt::join(segment.fused, "\n")));
        for (const std::string& step : segment.lane_steps) {
            picture.box(fmt::format("{} {}", i, step), fmt::format("{}\n{} lanes", step, lanes));
            picture.arrow(fused, fmt::format("{} {}", i, step), "exchange");
        }
        picture.end_group();
    }
    for (std::size_t i = 0; i < segments.size(); ++i) {
        for (const std::string& input : segments[i].inputs) {
            if (input.rfind("panes of ", 0) == 0) continue;
            picture.box(input, input);
            picture.arrow(input, fmt::format("fused {}", i));
        }
        for (const auto& [step, to] : segments[i].outputs) {
            picture.arrow(fmt::format("{} {}", i, keyed_label(planned, step)), fmt::format("fused {}", to), "panes");
        }
    }
    for (const SinkPlan& sink : planned.plan->sinks) {
        const std::string name = "sink " + sink.name;
        picture.box(name, sink.name + "\n" + sink.connector);
        for (std::size_t i = 0; i < segments.size(); ++i) {
            const Segment& segment = *planned.plan->segments[i];
            for (const KeyedNode& node : segment.terminals) {
                const bool wanted = sink.all_postings || std::find(sink.postings.begin(), sink.postings.end(),
                                                                   node.step) != sink.postings.end();
                if (node.output_segment >= 0 || !wanted) continue;
                picture.arrow(fmt::format("{} {}", i, keyed_label(planned, node.step)), name);
            }
        }
    }
    return picture.finish();
}

}  // namespace

std::string render_logical(const PlannedPipeline& planned, GraphFormat format) {
    return format == GraphFormat::text ? logical_text(planned) : logical_picture(planned, format);
}

std::string render_physical(const PlannedPipeline& planned, GraphFormat format, std::uint32_t lanes) {
    return format == GraphFormat::text ? physical_text(planned, lanes) : physical_picture(planned, format, lanes);
}

}  // namespace takt
