// Package people contains the names, departments and places of the sandbox's company.
//
// Package sandbox generates users and groups from them. Start reading at [Culture] and
// [Department].
package people

// All names are fictitious. As at Okta, characters have at most three bytes in
// UTF-8 (developer.okta.com, "Okta API: characters").

// A Name is a name in its own script and as a part of a login.
type Name struct{ Own, Login string }

// A Culture is a set of names, addresses and locale settings.
type Culture struct {
	Country, Language, Locale, Zone, Dial string
	FamilyFirst                           bool // in displayName
	Cities                                []string
	Streets                               []string
	Given, Family                         []Name
}

// Cultures are the cultures of the users.
var Cultures = []Culture{
	{
		Country: "GB", Language: "en", Locale: "en_GB", Zone: "Europe/London", Dial: "+44 20 79",
		Cities:  []string{"London", "Leeds", "Bristol"},
		Streets: []string{"High Street", "Mill Lane", "St John's Road"},
		Given:   []Name{{"Alice", "alice"}, {"Oliver", "oliver"}, {"Siobhán", "siobhan"}, {"Harriet", "harriet"}, {"Rhys", "rhys"}, {"Zoë", "zoe"}, {"Mary-Jane", "mary-jane"}, {"Tom", "tom"}},
		Family:  []Name{{"O'Connell", "oconnell"}, {"Ashworth", "ashworth"}, {"MacLeod", "macleod"}, {"Whitlock", "whitlock"}, {"Smith-Barnes", "smith-barnes"}, {"Pemberton", "pemberton"}, {"de Vere", "devere"}},
	},
	{
		Country: "DE", Language: "de", Locale: "de_DE", Zone: "Europe/Berlin", Dial: "+49 30 22",
		Cities:  []string{"Köln", "München", "Lübeck"},
		Streets: []string{"Königsallee", "Große Straße", "Am Mühlbach"},
		Given:   []Name{{"Jürgen", "juergen"}, {"Käthe", "kaethe"}, {"Björn", "bjoern"}, {"Änne", "aenne"}, {"Lukas", "lukas"}, {"Sören", "soeren"}, {"Frauke", "frauke"}},
		Family:  []Name{{"Müller", "mueller"}, {"Weiß", "weiss"}, {"Größner", "groessner"}, {"Schäfer", "schaefer"}, {"von der Lühe", "vonderluehe"}, {"Krause", "krause"}, {"Öztürk", "oeztuerk"}},
	},
	{
		Country: "PL", Language: "pl", Locale: "pl_PL", Zone: "Europe/Warsaw", Dial: "+48 22 51",
		Cities:  []string{"Łódź", "Kraków", "Gdańsk"},
		Streets: []string{"ulica Świętokrzyska", "aleja Róż", "plac Wolności"},
		Given:   []Name{{"Łukasz", "lukasz"}, {"Małgorzata", "malgorzata"}, {"Żaneta", "zaneta"}, {"Wojciech", "wojciech"}, {"Grażyna", "grazyna"}, {"Święto", "swieto"}},
		Family:  []Name{{"Wiśniewska", "wisniewska"}, {"Dąbrowski", "dabrowski"}, {"Źrebiec", "zrebiec"}, {"Kołodziej", "kolodziej"}, {"Pągowska", "pagowska"}},
	},
	{
		Country: "VN", Language: "vi", Locale: "vi_VN", Zone: "Asia/Ho_Chi_Minh", Dial: "+84 24 38", FamilyFirst: true,
		Cities:  []string{"Hà Nội", "Đà Nẵng", "Huế"},
		Streets: []string{"Phố Huế", "Đường Trần Phú", "Ngõ Văn Hương"},
		Given:   []Name{{"Hương", "huong"}, {"Đức", "duc"}, {"Thảo", "thao"}, {"Quốc Bảo", "quocbao"}, {"Ngọc Ánh", "ngocanh"}},
		Family:  []Name{{"Nguyễn", "nguyen"}, {"Trần", "tran"}, {"Phạm", "pham"}, {"Đặng", "dang"}, {"Vũ", "vu"}},
	},
	{
		Country: "GR", Language: "el", Locale: "el_GR", Zone: "Europe/Athens", Dial: "+30 21 03",
		Cities:  []string{"Αθήνα", "Θεσσαλονίκη", "Πάτρα"},
		Streets: []string{"Οδός Ερμού", "Λεωφόρος Συγγρού"},
		Given:   []Name{{"Ελένη", "eleni"}, {"Γιώργος", "giorgos"}, {"Χρυσάνθη", "chrysanthi"}, {"Στέφανος", "stefanos"}, {"Ίρις", "iris"}},
		Family:  []Name{{"Παπαδοπούλου", "papadopoulou"}, {"Κωνσταντίνου", "konstantinou"}, {"Ξυδάκης", "xydakis"}, {"Ωραιόπουλος", "oraiopoulos"}},
	},
	{
		Country: "BG", Language: "bg", Locale: "bg_BG", Zone: "Europe/Sofia", Dial: "+359 2 93",
		Cities:  []string{"София", "Пловдив", "Варна"},
		Streets: []string{"ул. Шипка", "бул. Витоша"},
		Given:   []Name{{"Йорданка", "yordanka"}, {"Димитър", "dimitar"}, {"Снежана", "snezhana"}, {"Ървин", "arvin"}, {"Людмил", "lyudmil"}},
		Family:  []Name{{"Георгиева", "georgieva"}, {"Стоянов", "stoyanov"}, {"Йовчев", "yovchev"}, {"Щерева", "shtereva"}},
	},
	{
		Country: "EG", Language: "ar", Locale: "ar_EG", Zone: "Africa/Cairo", Dial: "+20 2 27",
		Cities:  []string{"القاهرة", "الإسكندرية"},
		Streets: []string{"شارع النيل", "شارع طلعت حرب"},
		Given:   []Name{{"ليلى", "layla"}, {"محمود", "mahmoud"}, {"فاطمة", "fatma"}, {"أحمد", "ahmed"}, {"نور", "nour"}},
		Family:  []Name{{"المصري", "elmasry"}, {"عبد الرحمن", "abdelrahman"}, {"حسين", "hussein"}, {"الشريف", "elsherif"}},
	},
	{
		Country: "IL", Language: "he", Locale: "he_IL", Zone: "Asia/Jerusalem", Dial: "+972 3 69",
		Cities:  []string{"תל אביב", "חיפה"},
		Streets: []string{"רחוב הרצל", "שדרות רוטשילד"},
		Given:   []Name{{"נועה", "noa"}, {"איתן", "eitan"}, {"שירה", "shira"}, {"יונתן", "yonatan"}},
		Family:  []Name{{"כהן", "cohen"}, {"ברק", "barak"}, {"אברמוביץ׳", "abramovich"}, {"מזרחי", "mizrahi"}},
	},
	{
		Country: "CN", Language: "zh", Locale: "zh_CN", Zone: "Asia/Shanghai", Dial: "+86 21 62", FamilyFirst: true,
		Cities:  []string{"上海", "成都", "西安"},
		Streets: []string{"南京西路", "人民路", "长安街"},
		Given:   []Name{{"秀英", "xiuying"}, {"建国", "jianguo"}, {"雨桐", "yutong"}, {"伟", "wei"}, {"晓燕", "xiaoyan"}},
		Family:  []Name{{"王", "wang"}, {"欧阳", "ouyang"}, {"张", "zhang"}, {"陈", "chen"}, {"赵", "zhao"}},
	},
	{
		Country: "JP", Language: "ja", Locale: "ja_JP", Zone: "Asia/Tokyo", Dial: "+81 3 35", FamilyFirst: true,
		Cities:  []string{"東京", "さいたま", "福岡"},
		Streets: []string{"桜通り", "みどり町", "ハーバー通り"},
		Given:   []Name{{"恵子", "keiko"}, {"さくら", "sakura"}, {"健太", "kenta"}, {"ユウキ", "yuuki"}, {"まゆみ", "mayumi"}},
		Family:  []Name{{"田中", "tanaka"}, {"渡邉", "watanabe"}, {"サトウ", "satou"}, {"小野寺", "onodera"}, {"長谷川", "hasegawa"}},
	},
	{
		Country: "KR", Language: "ko", Locale: "ko_KR", Zone: "Asia/Seoul", Dial: "+82 2 73", FamilyFirst: true,
		Cities:  []string{"서울", "부산"},
		Streets: []string{"세종대로", "한강로"},
		Given:   []Name{{"민준", "minjun"}, {"서연", "seoyeon"}, {"지훈", "jihun"}, {"하은", "haeun"}},
		Family:  []Name{{"김", "kim"}, {"박", "park"}, {"최", "choi"}, {"남궁", "namgung"}},
	},
	{
		Country: "IN", Language: "hi", Locale: "hi_IN", Zone: "Asia/Kolkata", Dial: "+91 11 23",
		Cities:  []string{"दिल्ली", "मुंबई"},
		Streets: []string{"महात्मा गांधी मार्ग", "स्टेशन रोड"},
		Given:   []Name{{"प्रिया", "priya"}, {"अर्जुन", "arjun"}, {"लक्ष्मी", "lakshmi"}, {"विक्रम", "vikram"}},
		Family:  []Name{{"शर्मा", "sharma"}, {"कृष्णमूर्ति", "krishnamurthy"}, {"सिंह", "singh"}, {"पटेल", "patel"}},
	},
	{
		Country: "TH", Language: "th", Locale: "th_TH", Zone: "Asia/Bangkok", Dial: "+66 2 61",
		Cities:  []string{"กรุงเทพมหานคร", "เชียงใหม่"},
		Streets: []string{"ถนนสุขุมวิท", "ถนนเจริญกรุง"},
		Given:   []Name{{"สมชาย", "somchai"}, {"กัญญา", "kanya"}, {"ณัฐพล", "natthaphon"}, {"พิมพ์ใจ", "phimchai"}},
		Family:  []Name{{"ใจดี", "chaidi"}, {"ศรีสุวรรณ", "sisuwan"}, {"วงศ์ทอง", "wongthong"}},
	},
}

// The company and its domain.
const (
	Company = "Brightwater Instruments"
	Domain  = "brightwater.example"
)

// A Department is a department of the company, with the titles of its users.
type Department struct {
	Name, Division, CostCenter string
	Titles                     []string
}

// Departments are all departments.
var Departments = []Department{
	{"Engineering", "Products", "CC-1100", []string{"Firmware Engineer", "Staff Engineer", "Test Engineer, Sensors", "Engineering Manager"}},
	{"R&D <Optics>", "Products", "CC-1150", []string{"Physicist", "Optical Designer", "Lab \"Clean Room\" Lead"}},
	{"Sales", "Markets", "CC-2100", []string{"Account Executive", "Sales Engineer", "Regional Director"}},
	{"Customer Care", "Markets", "CC-2200", []string{"Support Specialist", "Escalation Manager"}},
	{"Finance", "Corporate", "CC-3100", []string{"Controller", "Accounts Payable Clerk", "Treasury Analyst"}},
	{"People", "Corporate", "CC-3200", []string{"Recruiter", "HR Business Partner", "Payroll Specialist"}},
	{"Legal & Compliance", "Corporate", "CC-3300", []string{"Counsel", "Export Control Officer"}},
	{"IT", "Corporate", "CC-3400", []string{"Site Reliability Engineer", "Identity Engineer", "Service Desk Agent"}},
	{"Operations", "Supply", "CC-4100", []string{"Plant Supervisor", "Planner", "Shift Lead"}},
	{"Qualität", "Supply", "CC-4200", []string{"Prüfingenieur/in", "Quality Manager"}},
}

// Values of other attributes.
var (
	Certifications = []string{"ISO 9001 auditor", "first aid", "forklift", "PRINCE2", "消防設備士", "laser safety", "CISA"}
	Questions      = []string{"Where did you spend your childhood summers?", "Wie hieß Ihr erstes Haustier?", "あなたの母の旧姓は？"}
	UserTypes      = []string{"Employee", "Employee", "Employee", "Contractor", "Intern", ""}
)
