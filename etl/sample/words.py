"""Vocabulary of the sample: names and titles by culture.

Surnames, places and titles are composed of syllables and words; none is meant to be a real person's or film's. `{name}`
in a pattern stands for any entry of LISTS[name].
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Culture:
    """A culture of titles and people. `weight` is in percent; `region` and `language` are IMDb's codes.

    A repeated pattern is used more often. `native` means that the script is not Latin.
    """

    region: str
    language: str
    weight: int
    titles: tuple[str, ...]
    men: tuple[str, ...]
    women: tuple[str, ...]
    native: bool = False


LISTS: dict[str, tuple[str, ...]] = {
    name: tuple(words.split())
    for name, words in {
        "adj": """Amber Borrowed Brass Broken Burning Clockwork Copper Crimson Crooked Distant Drowned
            Electric Empty Feathered Forgotten Frozen Gilded Glass Hollow Hungry Invisible Iron Ivory
            Last Lost Midnight Mirrored Northern Painted Paper Quiet Restless Rusted Salted Second
            Secret Seventh Silent Silver Sleeping Stolen Tangled Thirsty Thousandth Unfinished Velvet
            Wandering Whispering Winter Wooden""",
        "noun": """Almanac Anchor Apiary Archive Balloon Beekeeper Bellows Cartographer Chandelier Clock
            Compass Cormorant Dowry Echo Ferry Fiddle Fountain Furnace Garden Ghost Glacier Harvest
            Inkwell Island Kettle Kite Labyrinth Ladder Lantern Ledger Letter Lighthouse Locket Meridian
            Moth Oath Orchard Organ Parade Pilgrim Puppet Quarry Railway Reckoning River Saddle
            Scarecrow Semaphore Shadow Snowfall Sparrow Staircase Stranger Telegram Theatre Tide
            Umbrella Vault Violin Voyage Watchmaker Waltz Well Whistle Window""",
        "craft": """Apothecary Bellringer Blacksmith Candlemaker Clockmaker Cobbler Drummer Ferryman Glassblower
            Gravedigger Hatter Inkmaker Juggler Locksmith Midwife Organist Puppeteer Ropewalker Saddler
            Signalman Stonecutter Tailor Tinker Undertaker Weaver""",
        "kin": "Apprentice Brother Daughter Debt Dream Mother Promise Secret Shadow Sister Son Widow",
        "place_a": """Alden Brax Calder Dorve Elsin Fenno Garra Hollen Ister Jarrow Kolva Lumen Marrow Nembra
            Ostra Pellu Quen Rivel Sorra Tarn Ulver Velmo Wexen Yarrow Zephi""",
        "place_b": """bay borough bria crest dell fall ford gate ham haven lund mere mora nia port ra reach stead
            ven wick""",
        "count": "Two Three Four Five Six Seven Nine Ten Eleven Twelve Forty Hundred 3 7 13 24 101 1001",
        "many": """Brides Bridges Clowns Crows Doors Gardens Hats Horses Keys Letters Lies Mirrors Nights Roses
            Sisters Sundays Thieves Trains Violins Wishes""",
        "verb": """Breaking Burying Catching Chasing Counting Forgetting Hiding Leaving Mending Painting Paying
            Selling Waiting""",
        "show": """Academy Cooks Explained Tonight Weekly Live Uncovered Unlimited Detectives Doctors Nurses
            Stories Talks""",
        "en_m": """Abel Alistair Barnaby Casper Clive Cuthbert Dexter Edmund Felix Gideon Harlan Horace Ivor
            Jasper Jude Lionel Lucas Magnus Milo Nigel Orson Percy Quentin Rufus Silas Theo Tobias
            Victor Wesley Winston""",
        "en_f": """Ada Agnes Beatrix Cordelia Daphne Dorothea Edith Elspeth Flora Greta Hazel Imogen Ivy
            Juniper Lavinia Lottie Mabel Marigold Nell Odette Olive Pearl Philippa Rosalind Sybil
            Tabitha Thea Ursula Winifred Zelda""",
        "en_a": """Ashen Birch Bracken Briar Cobble Crane Dusk Fern Fletch Gorse Grim Hark Heron Holl Kestr
            Lark Marl Mist Moss Nettle Pember Quill Raven Sedge Thistle Thorn Tinder Wind Worm Yar""",
        "en_b": """bottom brook bury combe croft dale den field gate grave hurst ingham leigh mere more ridge
            shaw shott stone thwaite ton water well wick wood worthy""",
        "fr_m": """André Bastien Céleste Didier Édouard Étienne Fabrice Gaspard Gérald Hervé Jérôme Léandre
            Maël Noé Rémi Séverin Théo Urbain Valère Yvon""",
        "fr_f": """Adèle Aurélie Béatrice Clémence Delphine Éloïse Fleur Geneviève Hélène Inès Joséphine Léonie
            Maëlle Noémie Océane Pénélope Raphaëlle Solène Thaïs Zoé""",
        "fr_a": """Arbou Beau Bois Chante Clair Cour Dela Fontai Fou Gran Haute La Male Mont Perre Roche Saint
            Tré Vau Ver""",
        "fr_b": """bert brière çon coux deau fleur gnac loup marre mesnil naud pierre quet rive sart tain val
            vière ville""",
        "fr_n": "L'horloge La_lanterne Le_jardin La_rivière L'été Le_violon La_forêt Le_théâtre La_comète Le_fantôme",
        "fr_j": "oubliée brûlé d'ivoire du_silence à_minuit sans_étoiles de_verre perdu_en_mer des_adieux d'hiver",
        "de_m": """Anselm Bernd Detlef Eckhart Falko Gereon Götz Henning Jörg Jürgen Kilian Lothar Marius
            Norbert Ottmar Rüdiger Sönke Till Uwe Wendelin""",
        "de_f": """Annegret Bärbel Cosima Dörte Elfriede Frauke Gesine Heike Ilse Jördis Käthe Liesel Mechthild
            Nele Ottilie Petra Roswitha Sünje Trude Wiebke""",
        "de_a": """Acker Birken Brau Distel Dorn Eichen Falken Hagel Hasel Igel Krähen Kuckuck Käse Laub Moor
            Mühl Nebel Otter Pfeffer Zinn""",
        "de_b": "brück feld fels häuser heim höfer holz kamp lohe macher rath seeler stätter thaler wiese winkel",
        "de_n": "Der_Uhrmacher Die_Straße Das_Mädchen Der_König Die_Brücke Das_Gewölbe Der_Müller Die_Glocken",
        "de_j": "ohne_Schatten von_drüben im_Nebel für_Anfänger aus_Glas über_dem_Fluss am_Ende_der_Zeit der_Lüfte",
        "es_m": """Adrián Álvaro Baltasar Ciro Damián Efraín Fermín Gaspar Hernán Íñigo Joaquín León Macario
            Nicolás Óscar Ramón Saúl Tomás Ulises Víctor""",
        "es_f": """Amparo Belén Candela Dolores Estrella Fernanda Graciela Herminia Inés Jimena Lucía Macarena
            Nuria Ofelia Paloma Rocío Soledad Tránsito Úrsula Yolanda""",
        "es_a": """Alba Barra Cabe Campo Casta Durá Espi Fuente Garza Iba Lara Mala Monte Nava Oli Peña Quin
            Riba Sala Valde""",
        "es_b": """bal bón cano dillo gre guera líos llana martín món nares ñedo quiza rrubia rreta sco tón
            verde zábal zuela""",
        "es_n": "El_farol La_sombra El_corazón La_niña El_último_tren La_canción El_niño La_montaña El_sueño Mañana",
        "es_j": "de_papel del_río sin_nombre de_los_lobos en_llamas del_año_nuevo bajo_la_lluvia de_mi_abuela perdido",
        "it_m": "Achille Brando Cosimo Duilio Ettore Furio Gaspare Ivano Livio Manlio Nevio Osvaldo Renzo Tullio Ugo",
        "it_f": """Allegra Bianca Carlotta Domitilla Emma Fiamma Ginevra Ilaria Letizia Mirella Nives Ornella
            Perla Rosalba""",
        "it_a": """Bara Bel Casta Della Ferra Galli Gran Luma Malte Monte Nove Orsi Pelle Querci Ros Salva
            Tosca Vale Zam""",
        "it_b": """bardi bianco castri delli foglio gnani grossi luna mante monti nucci pietra rini ruolo
            stelli torri vecchi""",
        "it_n": "La_città Il_castello La_verità L'orologio Il_lupo La_felicità Il_treno La_lanterna Il_buffone",
        "it_j": "di_carta senza_porte d'autunno del_capitano in_fondo_al_mare che_cantava di_mezzanotte più_lontana",
        "pt_m": "Abílio Bento César Décio Elísio Fábio Gonçalo Hélio Ícaro João Lázaro Mário Otávio Sílvio Tomé",
        "pt_f": "Açucena Benedita Conceição Dália Eulália Flávia Glória Iara Jacinta Lígia Márcia Otília Sônia Vitória",
        "pt_a": "Alma Barro Cala Cam Cordo Figuei Grama Lago Man Mira Noguei Oli Pedro Quinta Rama Sarda Tava Vila",
        "pt_b": "ção çal deira gão gueiro lhães lhosa nhão nho redo res rinha rosa seca tinho val vedo zeiro",
        "pt_n": "A_estação O_coração A_canção O_pão A_noite O_avião A_ilusão O_sertão",
        "pt_j": "de_São_Nunca sem_fim do_amanhã das_águas de_ninguém em_chamas do_irmão da_solidão",
        "sv_m": "Åke Björn Dag Egil Frode Göran Håkan Ivar Jørgen Kåre Lennart Måns Øyvind Sören Torbjörn Ulf",
        "sv_f": "Åsa Birgit Dagny Ebba Frøydis Gunilla Hjördis Ingegerd Kajsa Lillemor Märta Ragnhild Sølvi Tuva Ylva",
        "sv_a": "Dim Drak Fager Fjäder Glas Gran Gul Hav Hög Is Korn Kvist Moln Mås Räv Silver Sjö Sol Sö Vester Ö",
        "sv_b": """ås bäck berg blad brandt by dal flod fors gren holm hjelm kvist lund mark øy qvist rud skog
            ström vik ø""",
        "sv_n": "Älven Ön Mörkret Skärgården Klockan Trädgården Björnen Måltiden",
        "sv_j": "utan_namn på_andra_sidan i_köld vid_sjön från_Söder som_försvann över_fjället",
        "pl_m": """Błażej Czesław Dariusz Eustachy Grzegorz Józef Lesław Łukasz Mścisław Przemysław Radosław
            Stanisław Zdzisław""",
        "pl_f": """Agnieszka Bożena Celina Elżbieta Grażyna Jadwiga Kinga Lucyna Małgorzata Róża Stanisława
            Wiesława Żaneta""",
        "pl_a": """Bąk Brzo Chmie Cie Dębo Gło Gór Jasz Kołod Krzem Łęcz Mazu Ostro Pięk Rzep Strzel Święt Wrzo
            Zło Żuraw""",
        "pl_b": """chowicz cki czyk dziej iński kiewicz lewicz niak nkowicz owiec owicz tkiewicz wiecki zalski
            ziński żanek""",
        "pl_n": "Źródło Ścieżka Żuraw Świt Miłość Księżyc Łódź Ćma",
        "pl_j": "bez_końca za_górą w_ciemności o_świcie spod_ziemi na_wietrze z_popiołu",
        "ru_m": """Afanasy Arkady Demyan Fyodor Gleb Kirill Lavrenty Makar Nikita Osip Prokhor Savely Timofey
            Yefim Zakhar""",
        "ru_f": """Agafya Darya Evdokia Galina Kira Lidiya Marfa Nadezhda Oksana Praskovya Raisa Taisiya Ulyana
            Varvara Zoya""",
        "ru_a": "Bel Berez Bolot Chern Dubr Gor Iskr Kalin Kam Lomon Medv Nebes Ozer Polyn Rech Snezh Tish Vetr Zim",
        "ru_b": "anov enko evich kin nikov nov ovsky rin skoy tsev ugin yaev yakov",
        "ruc_m": "Афанасий Аркадий Глеб Кирилл Макар Никита Осип Прохор Савелий Тимофей Ефим Захар",
        "ruc_f": "Агафья Дарья Галина Кира Лидия Марфа Надежда Оксана Раиса Таисия Ульяна Зоя",
        "ruc_a": "Бел Берез Болот Черн Дубр Гор Искр Калин Кам Медв Небес Озер Полын Снеж Ветр Зим",
        "ruc_b": "анов енко евич кин ников ович рин ской угин яев",
        "ruc_n": "Мельница Лодка Зимний_сад Колокол Дорога Часовщик Ночной_поезд Берег Письмо Журавль",
        "ruc_j": "без_имени за_рекой в_тумане на_рассвете из_стекла у_моря после_дождя",
        "ja_m": "Akihisa Daigo Eiji Fumio Haruto Isamu Jun'ichi Katsuro Masato Naoki Ryusei Shigeo Tetsuya Yoshiro",
        "ja_f": "Aoi Chihiro Emiko Fuyumi Hanae Izumi Kaede Megumi Natsuko Rikako Sayuri Tomoyo Yukino Wakana",
        "ja_a": """Amano Asagi Fujino Hanabi Hoshino Ishizu Kagero Kawase Kurono Minamo Morino Oboro Sazare
            Shirano Tsukiyo Umeno Yamabiko Yukino""",
        "ja_b": "gaya guchi hara jima kawa mine mori mura naga no numa ōka oka saki sawa shima ta tani wara zaka",
        "jak_a": "天 朝 藤 花 星 石 神 川 黒 南 森 長 岡 坂 白 高 月 梅 雪 霧",
        "jak_b": "谷 口 原 島 河 峰 野 村 永 沼 丘 崎 沢 田 坂",
        "jak_g": "明久 大吾 栄治 春人 勇 直樹 龍星 葵 千尋 冬美 花江 泉 楓 恵 小百合 雪乃",
        "jak_t": "月夜 硝子 迷子 最後 雨 時計 鯨 秘密 紙 桜 狐 夏 ランタン カルナビオ 名もなき人",
        "jak_u": "庭 物語 手紙 約束 列車 旅人 灯台 バイオリン 街 図書館 音楽会 夢",
        "zh_m": "Bowen Chengye Dawei Guang Haoran Jianyu Kaiwen Liang Mingze Ruilin Shan Tianyu Weilong Zihao",
        "zh_f": """Biyu Chunhua Fangfei Huilan Jiayi Lanying Meixiu Ningxin Qiaolian Ruolan Shuchun Xiulan
            Yanmei Zhenzhu""",
        "zh_a": "Baiyun Dongfang Gongyu Huanglu Linghu Mobei Nangong Ouyun Shangye Tanlu Ximo Yuchi Zhongli",
        "zhk_t": "风筝 月亮 铁匠 旧城 长夜 钟楼 纸船 冬天 渡口 夜莺",
        "zhk_u": "的秘密 之歌 的孩子 往事 与海 归来 的影子",
        "ko_m": "Beom-seok Chan-woo Dae-hyun Eun-ho Gi-tae Hyun-jun Jae-min Kyung-su Min-gyu Sang-woo Tae-yang Woo-bin",
        "ko_f": "Ae-ri Bo-ram Chae-won Da-hye Eun-byul Ga-eul Hye-rin Ji-woo Mi-rae Na-ri So-dam Yoon-seul",
        "ko_a": "Bangwol Dokgang Eogeum Haebaram Jeongol Maehwa Sanmaru Seomsae Tangeun Yeoul",
        "koh_t": "달빛 유리 마지막 겨울 바람 그림자 종이 비밀 여름 고래",
        "koh_u": "정원 편지 약속 열차 등대 기억 마을 시계",
        "hi_m": """Aarush Bhuvan Chirag Devraj Girish Harsh Ishaan Jagdeep Keshav Lakshman Manav Nakul Omkar
            Pranav Tejas Yuvan""",
        "hi_f": """Aadhira Bhavna Charulata Diya Esha Gauri Hema Ishita Jhanvi Kavya Lajwanti Meghna Nandini
            Roshni Tara Urvi""",
        "hi_a": "Agni Bhadra Chandra Deva Gaja Indra Jala Kirti Laksha Megha Nava Pushpa Ratna Surya Vana",
        "hi_b": "bhatt charya gaon karan kar lekar moni nath pal priya vant veer wal",
        "hid_m": "आरुष भुवन चिराग देवराज गिरीश ईशान केशव मानव ओमकार प्रणव",
        "hid_f": "आधिरा भावना चारुलता दिया गौरी इशिता काव्या मेघना नंदिनी तारा",
        "hid_a": "अग्नि भद्र चन्द्र देव इन्द्र कीर्ति मेघ रत्न सूर्य वन",
        "hid_b": "भट्ट गाँव नाथ पाल वीर वाल कर",
        "hid_t": "चाँदनी काग़ज़ आख़िरी पुराना नीला खोया_हुआ सुनहरा अधूरा",
        "hid_u": "सपना शहर चिराग रास्ता ख़त वादा सफ़र घर",
        "ar_m": "Adnan Bashir Farouk Ghassan Hadi Idris Jalal Khaldoun Munir Nadim Qasim Rafiq Sami Tariq Yasin",
        "ar_f": "Abir Basma Dalal Farida Ghada Hanan Intisar Jumana Lamia Nadia Rabab Salma Wafaa Yasmin Zahra",
        "ar_a": "Abu_Rimah Al-Bahrikh Al-Fanousani Al-Jisrawani Al-Qandilani Al-Qamarikh Bin_Rayhan Zaytounani",
        "arn_m": "عدنان بشير فاروق غسان هادي إدريس جلال منير نديم قاسم طارق ياسين",
        "arn_f": "عبير بسمة دلال فريدة غادة حنان جمانة لمياء سلمى ياسمين",
        "arn_a": "القنديلاني البحريخ الفانوساني الجسرواني القمريخ الزيتوناني",
        "arn_t": "فانوس حارس ليلة قطار سر حكاية صانع بنت",
        "arn_u": "القمر الجبل المدينة النهر الريح البحر الصمت الساعات",
        "tr_m": "Alperen Bünyamin Cüneyt Doğan Ergün Göktürk Hüsnü Işık Kürşat Oğuz Rıza Süleyman Tuğrul Yiğit",
        "tr_f": "Ayşegül Büşra Çiğdem Dürdane Elif Feyza Gülşen Hümeyra İpek Müjde Nurşen Özge Şebnem Yıldız",
        "tr_a": "Ayva Bulut Ceviz Çiriş Deniz Fındık Gölge Harman Kestane Leylek Nar Pamuk Rüzgâr Söğüt Turna Zeytin",
        "tr_b": "ağacı bağcı çatan deren eken gezer güden kesen seren sever yutan",
        "tr_n": "Gölge Çınar Köprü Işık Güvercin Şehir Düğün Rüzgâr",
        "tr_j": "Masalı Yolcusu Mevsimi Sokağı Bekçisi Türküsü Günlüğü",
        "role": """Narrator Waiter Detective Old_Man Nurse Bus_Driver Policeman The_Widow Neighbour Doctor
            Young_Girl Judge Various Innkeeper Reporter Messenger Bartender Mayor Soldier Captain
            The_Stranger Ghost Himself Dancer""",
        "doing": "playing_cards sweeping_the_stairs reading_a_paper selling_eels asleep holding_a_goose",
        "where": "seated_on_the_left by_the_door in_the_balcony second_from_right at_the_window",
        "selfrole": "Host Guest Contestant Presenter Musician Historian Panelist Judge Mayor_of_Velmora Interviewee",
        "digit": "1 2 3 4 5 6 7 8 9",
        "month": "January February March April May June July August September October November December",
        "initial": "A. B. C. D. E. F. G. H. J. K. L. M. N. P. R. S. T. V. W.",
        "nick": "Ace Bee Buzz Doc Dutch Lefty Moth Red Sparky Tex",
    }.items()
}
LISTS = {name: tuple(word.replace("_", " ") for word in words) for name, words in LISTS.items()}


def _list_plain_titles(code: str) -> tuple[str, ...]:
    """List the title patterns of a culture that has lists of nouns and endings."""
    return (f"{{{code}_n}} {{{code}_j}}", f"{{{code}_n}} {{{code}_j}}", f"{{{code}_n}} – {{place_a}}{{place_b}}")


def _list_western_names(code: str, *, hyphen: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List the name patterns of men and women, with a given name and a surname of two syllables."""
    surname = f"{{{code}_a}}{{{code}_b}}"
    both = []
    for sex in "mf":
        given = f"{{{code}_{sex}}}"
        plain = (f"{given} {surname}",) * 8
        both.append((*plain, f"{given}-{given} {surname}" if hyphen else f"{given} {{initial}} {surname}"))
    return both[0], both[1]


_EN_TITLES = (
    *("The {adj} {noun} of {place_a}{place_b}", "The {adj} {noun}", "The {craft}'s {kin}", "The {adj} {craft}") * 8,
    *(
        "{verb} {place_a}{place_b}",
        "{count} {many}",
        "{adj} {many}",
        "{noun} in {place_a}{place_b}",
        "{place_a}{place_b}",
    )
    * 6,
    *("{place_a}{place_b} {show}", "A {noun} for the {craft}", "{verb} the {noun}", "{many} & {many}") * 4,
    *("The {adj} {many}: {noun} {digit}", "{en_m} {en_a}{en_b}", "{en_f} and the {adj} {noun}", "What the {craft} Saw")
    * 2,
    "The '{noun}' {craft}",
    '"{adj} {noun}" and Other {many}',
    '"The {adj} {noun}"',
    "{noun} #{digit} (100% {adj})",
)
_EN_MEN, _EN_WOMEN = (
    (
        *(f"{{{sex}}} {{en_a}}{{en_b}}",) * 12,
        *(f"{{{sex}}} {{initial}} {{en_a}}{{en_b}}",) * 4,
        f"{{{sex}}} O'{{en_a}}{{en_b}}",
        f'{{{sex}}} "{{nick}}" {{en_a}}{{en_b}}',
    )
    for sex in ("en_m", "en_f")
)
_HYPHENS = {code: _list_western_names(code, hyphen=True) for code in ("fr", "de")}
_WEST = {code: _list_western_names(code) for code in ("es", "it", "pt", "sv", "pl", "ru", "tr")} | _HYPHENS


def _mix_scripts(latin: str, native: str) -> tuple[str, ...]:
    """Mix patterns so that one name in nine is in the native script: IMDb writes most of them in Latin letters."""
    return (*(latin,) * 8, native)


CULTURES: tuple[Culture, ...] = (
    Culture("US", "en", 34, _EN_TITLES, _EN_MEN, _EN_WOMEN),
    Culture("GB", "en", 12, _EN_TITLES, _EN_MEN, _EN_WOMEN),
    Culture("FR", "fr", 7, _list_plain_titles("fr"), *_WEST["fr"]),
    Culture("DE", "de", 7, _list_plain_titles("de"), *_WEST["de"]),
    Culture("ES", "es", 7, _list_plain_titles("es"), *_WEST["es"]),
    Culture("IT", "it", 5, _list_plain_titles("it"), *_WEST["it"]),
    Culture("BR", "pt", 4, _list_plain_titles("pt"), *_WEST["pt"]),
    Culture("SE", "sv", 3, _list_plain_titles("sv"), *_WEST["sv"]),
    Culture("PL", "pl", 2, _list_plain_titles("pl"), *_WEST["pl"]),
    Culture("TR", "tr", 2, ("{tr_n} {tr_j}", "{tr_m}'in {tr_j}"), *_WEST["tr"]),
    Culture(
        "RU",
        "ru",
        4,
        ("{ruc_n} {ruc_j}", "{ruc_n}", "{ruc_n} и {ruc_n}"),
        _mix_scripts("{ru_m} {ru_a}{ru_b}", "{ruc_m} {ruc_a}{ruc_b}"),
        _mix_scripts("{ru_f} {ru_a}{ru_b}a", "{ruc_f} {ruc_a}{ruc_b}а"),
        native=True,
    ),
    Culture(
        "JP",
        "ja",
        5,
        ("{jak_t}の{jak_u}", "{jak_t}と{jak_t}", "{jak_t}{jak_u} 第{digit}章"),
        _mix_scripts("{ja_m} {ja_a}{ja_b}", "{jak_a}之{jak_b}{jak_g}"),
        _mix_scripts("{ja_f} {ja_a}{ja_b}", "{jak_a}之{jak_b}{jak_g}"),
        native=True,
    ),
    Culture("CN", "cmn", 2, ("{zhk_t}{zhk_u}",), ("{zh_m} {zh_a}",), ("{zh_f} {zh_a}",), native=True),
    Culture("KR", "ko", 2, ("{koh_t} {koh_u}",), ("{ko_m} {ko_a}",), ("{ko_f} {ko_a}",), native=True),
    Culture(
        "IN",
        "hi",
        3,
        ("{hid_t} {hid_u}", "{hid_t} {hid_u} {digit}"),
        _mix_scripts("{hi_m} {hi_a}{hi_b}", "{hid_m} {hid_a}{hid_b}"),
        _mix_scripts("{hi_f} {hi_a}{hi_b}", "{hid_f} {hid_a}{hid_b}"),
        native=True,
    ),
    Culture(
        "EG",
        "ar",
        1,
        ("{arn_t} {arn_u}",),
        _mix_scripts("{ar_m} {ar_a}", "{arn_m} {arn_a}"),
        _mix_scripts("{ar_f} {ar_a}", "{arn_f} {arn_a}"),
        native=True,
    ),
)

CHARACTERS: tuple[str, ...] = (
    *('["{en_m} {en_a}{en_b}"]', '["{en_f} {en_a}{en_b}"]', '["{role}"]', '["{en_f}"]', '["{en_m}"]') * 12,
    *('["{es_m}"]', '["{hi_f}"]', '["{ja_m}"]', '["{fr_f}"]', '["{ru_m}"]', '["Dr. {de_a}{de_b}"]') * 4,
    *('["{role}","{role} #{digit}"]', '["{role}","{en_f} {en_a}{en_b}","{role}"]') * 4,
    *('["{role} [{place_a}{place_b}]"]', '["Man {doing}, {where}"]') * 2,
    '["{en_m} (segment \\"The {adj} {noun}\\")"]',
    '["The O\'{en_a}{en_b} Family: The {role}","The {craft}"]',
    '["{jak_g}"]',
    '["{ruc_m}"]',
)
"""Values of `characters`: JSON arrays, as IMDb writes them (no space after the comma, `\\"` inside)."""

SELF_ROLES: tuple[str, ...] = (*('["Self"]',) * 5, *('["Self - {selfrole}"]',) * 4, '["Self","Self - {selfrole}"]')

JOBS: dict[str, tuple[str, ...]] = {
    "director": (*("\\N",) * 16, "co-director", "segment director", 'segment "The {adj} {noun}"'),
    "writer": (
        *("\\N",) * 5,
        *("written by", "creator", "screenplay", "story", "created by", "writer") * 2,
        'novel "The {adj} {noun}"',
        'play "{count} {many}"',
        "based on characters created by",
    ),
    "producer": (*("producer",) * 5, "executive producer", "co-producer", "\\N"),
    "composer": (*("\\N",) * 7, "composer"),
    "cinematographer": (*("\\N",) * 5, "director of photography", "cinematographer"),
    "editor": (*("\\N",) * 7, "editor"),
    "production_designer": ("\\N",),
    "casting_director": ("\\N",),
}
"""Values of `job` by category; the cast has none."""
