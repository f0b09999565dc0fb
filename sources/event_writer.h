#pragma once

#include <memory>
#include <string>

#include "sources/plant_simulator.h"

namespace takt {

/// Writes events of the built-in contract. Keeps its buffers; not thread-safe.
class EventWriter {
  public:
    EventWriter();
    ~EventWriter();

    void append(const PlantEvent& event, EventEncoding encoding, std::string& bytes);

  private:
    void append_flatbuffers(const PlantEvent& event, bool prefixed, std::string& bytes);
    static void append_json(const PlantEvent& event, std::string& bytes);

    struct Builder;
    std::unique_ptr<Builder> builder_;
};

}  // namespace takt
