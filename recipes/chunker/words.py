"""Our own word lists for made-up captions: things, what they are like, and what they do; rarer words above all."""

from __future__ import annotations

from stages.phrases.lexicon import words

THINGS = words(
    """acorn accordion aftershave airship almond aloe amulet anchor antler anvil apricot apron aquarium armchair
    artichoke asparagus atlas aubergine avocado awning axe badger bagel bagpipe balaclava bandana banjo banister
    barge barley barrel basil basin bassoon bath baton bayonet bazaar beaker beanbag beaver beehive beetle beetroot
    bellows beret bib bidet billboard binoculars birch biscuit bison blackberry blazer blender blimp blouse boar
    bobbin bolt bonfire bonnet bonsai boomerang borscht boulder bouquet bracelet braid bramble brazier breadcrumbs
    briefcase brioche broccoli brooch broom broth bucket buckle buffet bugle bulldozer bumblebee bungalow buoy
    burrito butcher cabbage cactus caddy calamari calculator camel camisole canal canary candelabra cannon canopy
    canteen caramel caravan cardigan cardinal carousel carpet cashew casserole castanets catapult cauldron
    cauliflower caviar cedar celery cello chalet chalk chameleon chandelier chapel chard chariot cheesecake cheetah
    cherub chestnut chickpeas chili chimney chisel chives chopsticks chutney cicada cider cinnamon clam clarinet
    clematis clementine cloak clog clove cobbler cobra cockatoo cockpit coconut cod coleslaw collie colander compass
    concertina condor conifer coriander cork cormorant corncob corset cottage couscous coyote crab cradle crane
    crate crayon creek crepe cricket crochet crocus croissant crossbow crouton crowbar crumpet crutch cucumber
    cufflinks cumin cupcake curry custard cutlery cymbal daffodil dagger dahlia daisy dandelion dartboard dashboard
    decanter deckchair dill dinghy dogwood dolphin dome donkey donut doormat dough dove dragonfly drawbridge
    dreadlocks dresser duffel dugout dumpling dustpan duvet easel eel eggplant elk elm ember emerald envelope
    eucalyptus falafel falcon fanny-pack farmhouse fedora fennel fern ferret ferry fiddle fig filing-cabinet finch
    fjord flamingo flannel flask flute foal fondue footbridge forklift foxglove freckles freezer fresco fridge
    fritter fudge funnel furnace galleon gargoyle garlic gazebo gazelle gecko geranium gherkin gibbon ginger
    gingerbread giraffe glacier glider gnocchi gnome goblet goggles gondola goose gooseberry gorilla gourd granola
    grapefruit grater gravel gravy greenhouse griddle grill guava guillotine guinea-pig gull gumdrop gutter haddock
    halibut halter ham hammock hamper hamster handcuffs handlebar hare harmonica harness harp hatchet hawk hazelnut
    headband headdress hearth hedge hedgehog heirloom helmet hen heron herring hibiscus hinge hippo hoe honeycomb
    hoodie hoop horn hornet hose houseboat hummus hummingbird husky hyacinth hydrangea hyena iceberg icicle igloo
    iguana ivy jackal jackfruit jalapeno jam jar jasmine javelin jellyfish jetty jigsaw joystick jug juicer kale
    kaleidoscope kangaroo kayak kebab kelp kennel ketchup kettle keychain kimono kingfisher kiwi knapsack koala
    kohlrabi ladle ladybird lagoon lamb lampshade lantern lasagna lathe lattice laundry lava lavender leek lemonade
    lemur lentils leotard lettuce lever lilac lily limestone limousine linguine lipstick lizard llama lobster locket
    locust loft loom lotus lounger lute lychee lynx macaron macaw magnet magnolia magpie mallard mallet mango
    mangrove mannequin maple maraca marigold marina marmalade marmot marquee marshmallow mascara mascot mattress
    meadow meatball medallion megaphone melon meringue mermaid meteor millet minaret mint mirror mitten moat
    moccasin mole moose moped mosaic mosque moss moth mozzarella mudguard muffin mulberry mural muscle museum
    mushroom mussel mustache mustard nachos napkin narwhal nectarine nest newt noodle notebook nozzle nutcracker
    nutmeg oar oasis oatmeal obelisk oboe octopus olive omelette onesie orca orchard orchid oregano ostrich otter
    ottoman owl oxen oyster paddock padlock paella pagoda pail palette pancake panda pansy papaya paprika parachute
    paragliders parakeet parasol parchment parrot parsley parsnip pasta pastry patchwork pavilion peacock peanut
    pear peas pebble pecan pelican penguin pendant peony pepperoni periscope persimmon pesto petunia pewter pheasant
    phlox pickaxe pickle pier pigeon piglet pillar pine pineapple pinecone pinwheel pistachio pitchfork pizzeria
    plank plough plum pogo-stick poinsettia polenta pomegranate poncho pony poodle popcorn poppy popsicle porcelain
    porcupine porpoise postbox pothole poutine prawn pretzel propeller prune pudding puffin pulley puma pumpkin
    purse quail quartz quiche quill quilt quince quinoa rabbit raccoon radish raft raisin rake ram raspberry ratchet
    rattle raven ravioli rhubarb rhino ribbon rickshaw risotto robin rocket rolling-pin rooster rosemary roundabout
    rowboat ruby rucksack rudder rye saddle safari saffron sage salami salmon saloon samosa sandal sapling sardine
    sari sash satchel sauna sausage saxophone scaffold scallop scarecrow schooner scone scooter scorpion screwdriver
    scroll scythe seagull seahorse seaweed seesaw shamrock shawl shears shovel shrimp shrine shrub shutter sickle
    sideboard silo skewer skillet skunk sled sleigh slipper sloth slug smock smoothie snail snorkel snowflake
    sombrero sorbet souffle sourdough soybeans spade spaghetti spaniel sparrow spatula sphinx spinach spindle spool
    spruce squash squid squirrel stallion starfish steak stencil stew stiletto stingray stirrup stool stork strainer
    strawberry streamer string-quartet stroller submarine sundial sunflower suitcase sushi suspenders swan swordfish
    tabby tablecloth taco tadpole tambourine tangerine tapestry tarantula tart tattoo teapot telescope tempura
    terrier thatch thermos thimble thistle throne thyme tiara toad toboggan toddler tofu tombstone tongs topiary
    torch tortilla toucan tractor trampoline trellis tricycle tripod trombone trout trowel truffle trumpet tuba
    tulip tuna turban turkey turnip turret tuxedo twig typewriter ukulele unicycle urn vanilla vase vat vest viaduct
    vial vine violet viper visor vulture waffle wagon wallet walnut walrus wardrobe wasp watercress waterlily
    watermelon weasel weathervane wheat wheelbarrow whisk whistle wick wig wigwam willow windmill windowsill
    wisteria wok wolf wombat wreath wrench yacht yak yam yogurt yoke yurt zebra zipper zucchini"""
)

LIKE = words(
    """ancient antique arched asymmetrical baked bald bare battered beaded bearded beige bent blurry boiled bold brass
    brick bright brittle broken bronze bulky burnt busy caged carved ceramic charred checkered chipped chubby chunky
    circular clear cloudy coiled copper cracked creamy crimson crispy crooked crumbling curly curved damp dented
    dirty distressed dotted drooping dusty elegant embroidered empty enamel engraved faded fallen feathered floral
    fluffy folded foggy forged fragrant fresh fried frilly frosted frozen furry fuzzy giant gigantic glazed gleaming
    glittery glossy glowing golden graceful grilled grimy grubby half-open hairy hand-painted handwoven heavy hollow
    homegrown homemade horned huge hungry inflatable iron ivory jagged knitted laced lacy leafy leaning leather lit
    lonely loose lush marbled massive mechanical melting messy metallic mini miniature minimalist mossy mottled
    moulded muddy narrow neat neon nested northern oily opaque ornate oval overgrown oversized padded painted pale
    patterned peeled peeling perforated pickled plaid plain pleated plump pointed polished porous potted powdered
    pressed puffy quilted ragged rainy reclaimed rectangular refurbished reusable ripe roasted robust rocky rotten
    rough round rugged rusted rustic salted sandy scented shabby shaggy sheer shimmering shiny silky skinny sleek
    sleepy slender sliced slippery smoked smooth snowy soft solitary southern spicy spiral spotless spotted square
    stained steaming steep sticky stone straw striped sturdy sunlit swollen tangled tapered tattered terracotta
    textured thatched thick thin tidy tiled tilted tinted toasted torn towering translucent triangular tropical
    turquoise twisted upholstered velvet vibrant vivid warped waxed weathered whimsical wicker wild wilted winding
    wiry withered wooden woolen woven wrinkled wrapped wrought"""
)

DO = words(
    """admire adjust aim approach arrange assemble bake balance bark bathe beam beg blend bloom blow board bounce bow
    brew bring browse brush build bump burn bury buzz call capture caress celebrate charge chat chew chop circle
    clap clean cling collapse collect comb compete conduct confront cook cough count crack crash crawl creep crouch
    cruise crumble crush cuddle curl dangle dash decorate deliver descend devour dig dip discover display doze drag
    drape drift drip drool duck dust echo edit eject embrace empty enter escape examine exit explore fan fasten
    feast fetch fill flap flash flee flicker float flock flow flutter fold follow frame frolic gallop gather gaze
    giggle glance gleam glide glow gnaw grab graze greet grin grip grow growl guide gulp hammer hang harvest hatch
    hoist hop hover howl hug hurdle hurl ignite inspect iron jog joust juggle juice kneel knit knock ladle launch
    laugh lean lick lift limp linger load loom lounge lurk march measure melt milk mix mop mount mourn move munch
    nap navigate nibble nod observe offer open operate order overlook pack paddle paint parade patrol pause peck
    pedal peek peel peer perch pester pick pile pinch pitch plant plough plunge poke polish pounce pour pray preach
    prepare present press prowl prune pull push quarrel race raise rake reach read recline refuel relax repair rest
    return reveal rinse roam roar rub rush salute scatter scoop scratch scream scrub sculpt serve sew shake shave
    shear shelter shine shout shovel shrug sip skip sleep slice slip slither smash smell snarl sneeze sniff snooze
    snore soak soar sparkle spill spin split spray sprint sprout spy squat squeeze stack stalk stare steer stir
    stitch stomp stretch stroll strum stumble sunbathe surround sway sweep swerve swing swoop tackle tame tangle
    taste tease teach tend thread tickle tie tilt tiptoe toast topple toss touch tow trail trek trim trot trudge tug
    tumble twirl twist type unload unpack unveil unwrap vault wade wag wait wander warm wash water weave wed weigh
    whisper whittle wiggle wink wipe wobble wrap wrestle yawn yell zip zoom
    bob bellow bicker boil bubble burst camp chase chuckle climb clutch collide cringe cross dance dine dive doze drink
    eat erupt evaporate explode face fall feed fight film fish flex float flood fly freeze frown fume fuss gasp gesture
    gossip grill groom guard hand head heal hike hunt hurry jam jump kick kiss land light line look mill mingle mob
    model mushroom nurse paint pan park pass pet pile play pose powder practice protest race rally ram rappel ride rise
    rock roll row rule run rust sail sample sand scale scan shake shift ship shop shower sign sing sit skate sketch ski
    skydive smile smoke snack snorkel spar spar spot sprawl spring stand star step stop storm study suit sun support
    surf swap swarm swim talk tap tour trade train trap travel tread trick trip tug turn visit vote walk watch wave
    whip whistle win wind work worship wound wreck"""
)


# Activities of two words: verbs whose first word looks like a noun or an adjective.
COMPOUND_VERBS = words(
    """rock_climb ice_skate ice_climb snow_tube snow_board boogie_board hula_hoop hula_dance break_dance belly_dance
    line_dance arm_wrestle sumo_wrestle karate_kick mountain_bike dirt_bike white-water_raft water_ski jet_ski fly_fish
    ice_fish wind_surf body_surf sand_surf kite_surf kick_box hand_feed spray_paint face_paint speed_skate roller_skate
    free_dive scuba_dive bungee_jump parachute_jump pan_handle sun_bathe horse_ride trick_ride drag_race race_walk
    power_walk hitch_hike hang_glide crowd_surf bird_watch window_shop tap_dance play_fight group_hug day_dream"""
)

GROUPS = words(
    """couple family group team crowd band trio pair duo class crew army flock herd audience choir staff police pack
    public community congregation cast troupe squad gang tribe swarm majority orchestra club party committee"""
)

# Where, or how, behind a verb: never in a phrase.
DIRECTIONS = words(
    """underwater indoors outdoors outside inside headfirst downhill uphill onstage offstage ashore aboard overhead
    upstairs downstairs downtown abroad backwards forwards sideways barefoot home together apart away along nearby
    around ahead past upwards downwards alone twice again everywhere afloat aloft airborne asleep awake"""
)


def third_person(verb: str) -> str:
    """ "watch" -> "watches"."""
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return verb + "es"
    return verb[:-1] + "ies" if verb.endswith("y") and verb[-2] not in "aeiou" else verb + "s"


def participle(verb: str) -> str:
    """ "chop" -> "chopping"; stress is not known, so short verbs double their last letter and longer ones do not."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    doubles = len(verb) <= 5 and verb[-1] in "bdgklmnprt" and verb[-2] in "aeiou" and verb[-3] not in "aeiou"
    return verb + verb[-1] * doubles + "ing"
