-- Eight people to begin with. Delete this file, and its two mentions in main.lua,
-- when you have contacts of your own.
local Contact = require("contacts.contact")

-- A function rather than a list: contacts are made when somebody asks, not
-- each time this file is saved.
return function()
  return {
    Contact:new({
      id = 1, name = "Ada Lovelace", role = "Analyst", company = "Engine Works",
      email = "ada@engine.example", phone = "+44 20 7946 0101", favourite = true,
      introducedBy = 2, tags = { "mathematics", "poetry" },
      notes = "Sees further than the machine. Bring the Bernoulli tables.",
    }),
    Contact:new({
      id = 2, name = "Charles Babbage", role = "Founder", company = "Engine Works",
      email = "charles@engine.example", phone = "+44 20 7946 0102",
      tags = { "mathematics", "machines" },
      notes = "Never mention street music.",
    }),
    Contact:new({
      id = 3, name = "Grace Hopper", role = "Rear Admiral", company = "US Navy",
      email = "grace@navy.example", phone = "+1 202 555 0103", favourite = true,
      tags = { "compilers", "navy" },
      notes = "Keeps a nanosecond of wire in her bag.",
    }),
    Contact:new({
      id = 4, name = "Katherine Johnson", role = "Mathematician", company = "Langley",
      email = "katherine@langley.example", phone = "+1 757 555 0104",
      introducedBy = 3, tags = { "mathematics", "orbits" },
    }),
    Contact:new({
      id = 5, name = "Alan Turing", role = "Reader", company = "Manchester",
      email = "alan@manchester.example", phone = "+44 161 496 0105",
      introducedBy = 1, tags = { "mathematics", "machines" },
      notes = "Runs marathons. Chains his mug to the radiator.",
    }),
    Contact:new({
      id = 6, name = "Hedy Lamarr", role = "Inventor", company = "Independent",
      email = "hedy@hop.example", phone = "+1 310 555 0106", favourite = true,
      tags = { "radio", "film" },
    }),
    Contact:new({
      id = 7, name = "Margaret Hamilton", role = "Director", company = "Instrumentation Lab",
      email = "margaret@lab.example", phone = "+1 617 555 0107",
      introducedBy = 4, tags = { "orbits", "compilers" },
      notes = "Her listings are as tall as she is.",
    }),
    Contact:new({
      id = 8, name = "Emmy Noether", role = "Professor", company = "Göttingen",
      email = "emmy@goettingen.example", phone = "+49 551 5550 108",
      tags = { "mathematics", "symmetry" },
      notes = "Where something stays the same, look for a symmetry.",
    }),
  }
end
